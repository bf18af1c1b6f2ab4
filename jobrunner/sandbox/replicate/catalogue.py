"""What the models behind Replicate's API take and answer. A model's name says which kind it is.

Pictures as flux draws them, or edits where pictures are given; clips as seedance, speech as minimax, music and sounds.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

Kind = Literal["picture", "film", "speech", "music", "sound"]

SIZES: Final[Mapping[str, tuple[int, int]]] = {
    "1:1": (1024, 1024), "16:9": (1344, 768), "21:9": (1536, 640), "3:2": (1216, 832), "2:3": (832, 1216),
    "4:5": (896, 1088), "5:4": (1088, 896), "3:4": (896, 1152), "4:3": (1152, 896), "9:16": (768, 1344),
    "9:21": (640, 1536),
}  # fmt: skip
AS_GIVEN: Final = "match_input_image"
FORMATS: Final = {"webp": "webp", "jpg": "jpeg", "png": "png"}
FILM_RATIOS: Final = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "9:21")
SHORT_SIDES: Final = {"480p": 480, "720p": 720, "1080p": 1080}
DEFAULT_S: Final = 5
_PRICES_USD: Final[Mapping[Kind, float]] = {
    "picture": 0.003, "film": 0.036, "speech": 0.00006, "music": 0.002, "sound": 0.002,
}  # fmt: skip
"""For a picture, a second, a character, a second and a second."""
_NAMES: Final[tuple[tuple[str, Kind], ...]] = (
    (r"video|seedance|kling|hailuo|veo|/ray|/ltx|/wan|pixverse|[ti]2v", "film"),
    (r"speech|tts|kokoro|chatterbox", "speech"),
    (r"music|lyria|stable-audio", "music"),
    (r"sound|audiogen", "sound"),
)
_SEEDS: Final = (0, 2**32 - 1)
_NUMBERS: Final[Mapping[Kind, Mapping[str, tuple[int, int]]]] = {
    "picture": {"num_outputs": (1, 4), "width": (64, 2048), "height": (64, 2048), "seed": _SEEDS},
    "film": {"duration": (1, 12), "seed": _SEEDS},
    "speech": {},
    "music": {"duration": (1, 190), "music_length_ms": (5000, 300_000), "seed": _SEEDS},
    "sound": {"duration": (1, 190), "seed": _SEEDS},
}
_WORDS: Final[Mapping[Kind, Mapping[str, tuple[str, ...]]]] = {
    "picture": {
        "aspect_ratio": (*SIZES, "custom", AS_GIVEN),
        "output_format": tuple(FORMATS),
        "megapixels": ("1", "0.25"),
    },
    "film": {"aspect_ratio": FILM_RATIOS, "resolution": tuple(SHORT_SIDES)},
}


class InvalidInput(ValueError):
    def __init__(self, field: str, description: str) -> None:
        super().__init__(description)
        self.field, self.description = field, description


def kind_of(model: str) -> Kind:
    return next((kind for name, kind in _NAMES if re.search(name, model)), "picture")


def words(input: Mapping[str, Any]) -> str:
    """The prompt, or the text to speak."""
    return str(input.get("prompt") or input.get("text") or "")


def checked(model: str, input: Any) -> dict[str, Any]:
    """Raises InvalidInput."""
    if not isinstance(input, dict):
        raise InvalidInput("input", "input is required")
    kind = kind_of(model)
    name = "text" if kind == "speech" and "prompt" not in input else "prompt"
    if not isinstance(input.get(name), str) or not input[name]:
        raise InvalidInput(f"input.{name}", f"{name} is required")
    for key, (low, high) in _NUMBERS[kind].items():
        value = input.get(key)
        if key in input and (not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high):
            raise InvalidInput(f"input.{key}", f"Must be an integer from {low} to {high}")
    for key, known in _WORDS.get(kind, {}).items():
        if input.get(key, known[0]) not in known:
            raise InvalidInput(f"input.{key}", f"Must be one of the following: {', '.join(known)}")
    speed = input.get("speed", 1)
    if not isinstance(speed, (int, float)) or not 0.5 <= speed <= 2:  # noqa: PLR2004
        raise InvalidInput("input.speed", "Must be a number from 0.5 to 2")
    return input


def file_names(model: str, input: Mapping[str, Any]) -> list[str]:
    match kind_of(model):
        case "picture":
            return [f"out-{i}.{input.get('output_format', 'webp')}" for i in range(input.get("num_outputs", 1))]
        case "film":
            return ["out-0.mp4"]
    return ["out-0.mp3"]


def output(model: str, files: list[str]) -> str | list[str]:
    return files[0] if _answers_one(model) else files


def schema(model: str) -> dict[str, Any]:
    """As much of a version's OpenAPI document as says what the output is."""
    url = {"type": "string", "format": "uri"}
    output = url if _answers_one(model) else {"type": "array", "items": url}
    return {"components": {"schemas": {"Input": {"type": "object"}, "Output": {"title": "Output", **output}}}}


def _answers_one(model: str) -> bool:
    """Some models answer one URL, others a list of them."""
    return kind_of(model) != "picture" or "pro" in model.rpartition("/")[2].split("-")


def price_usd(model: str, input: Mapping[str, Any]) -> float:
    kind = kind_of(model)
    amount = {"picture": float(input.get("num_outputs", 1)), "speech": float(len(words(input)))}.get(kind)
    return round(_PRICES_USD[kind] * (seconds(input) if amount is None else amount), 6)


def seconds(input: Mapping[str, Any]) -> float:
    """`duration` in seconds; elevenlabs/music says `music_length_ms`."""
    milliseconds: int = input.get("music_length_ms", 1000 * input.get("duration", DEFAULT_S))
    return milliseconds / 1000


def size(input: Mapping[str, Any]) -> tuple[int, int]:
    """(width, height) of a picture in pixels."""
    width, height = SIZES.get(input.get("aspect_ratio", "1:1"), SIZES["1:1"])
    if input.get("megapixels") == "0.25":
        width, height = width // 2, height // 2
    return input.get("width", width), input.get("height", height)


def frame(input: Mapping[str, Any]) -> tuple[int, int]:
    """(width, height) of a clip in pixels."""
    across, down = (int(part) for part in input.get("aspect_ratio", "16:9").split(":"))
    short = SHORT_SIDES[input.get("resolution", "720p")]
    long = round(short * max(across, down) / min(across, down) / 2) * 2
    return (long, short) if across >= down else (short, long)
