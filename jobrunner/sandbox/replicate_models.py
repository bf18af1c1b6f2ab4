"""What the models behind Replicate's API take and make: pictures, as flux does, or clips, as seedance does."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from jobrunner.sandbox.clips import frame_demuxer

SIZES: Final[Mapping[str, tuple[int, int]]] = {
    "1:1": (1024, 1024), "16:9": (1344, 768), "21:9": (1536, 640), "3:2": (1216, 832), "2:3": (832, 1216),
    "4:5": (896, 1088), "5:4": (1088, 896), "3:4": (896, 1152), "4:3": (1152, 896), "9:16": (768, 1344),
    "9:21": (640, 1536),
}  # fmt: skip
FORMATS: Final = {"webp": "webp", "jpg": "jpeg", "png": "png"}
FILM_RATIOS: Final = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "9:21")
SHORT_SIDES: Final = {"480p": 480, "720p": 720, "1080p": 1080}
FILM_S: Final = 5
PICTURE_USD: Final = 0.003
FILM_SECOND_USD: Final = 0.036
_FILMS: Final = re.compile(r"video|seedance|kling|hailuo|veo|/ray|/ltx|/wan|pixverse|[ti]2v")


class InvalidInput(ValueError):
    def __init__(self, field: str, description: str) -> None:
        super().__init__(description)
        self.field, self.description = field, description


def films(model: str) -> bool:
    """Whether `owner/name` makes clips, told by its name."""
    return _FILMS.search(model) is not None


def checked(model: str, input: Any) -> dict[str, Any]:
    """Raises InvalidInput."""
    if not isinstance(input, dict):
        raise InvalidInput("input", "input is required")
    if not isinstance(input.get("prompt"), str) or not input["prompt"]:
        raise InvalidInput("input.prompt", "prompt is required")
    numbers = {"num_outputs": (1, 4), "width": (64, 2048), "height": (64, 2048), "seed": (0, 2**32 - 1)}
    words: dict[str, tuple[str, ...]] = {"aspect_ratio": (*SIZES, "custom"), "output_format": tuple(FORMATS)}
    if films(model):
        numbers = {"duration": (1, 12), "seed": (0, 2**32 - 1)}
        words = {"aspect_ratio": FILM_RATIOS, "resolution": tuple(SHORT_SIDES)}
    for key, (low, high) in numbers.items():
        value = input.get(key)
        if key in input and (not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high):
            raise InvalidInput(f"input.{key}", f"Must be an integer from {low} to {high}")
    for key, known in words.items():
        if input.get(key, known[0]) not in known:
            raise InvalidInput(f"input.{key}", f"Must be one of the following: {', '.join(known)}")
    return input


def size(model: str, input: Mapping[str, Any]) -> tuple[int, int]:
    """(width, height) in pixels."""
    if not films(model):
        width, height = SIZES.get(input.get("aspect_ratio", "1:1"), SIZES["1:1"])
        return input.get("width", width), input.get("height", height)
    across, down = (int(part) for part in input.get("aspect_ratio", "16:9").split(":"))
    short = SHORT_SIDES[input.get("resolution", "720p")]
    long = round(short * max(across, down) / min(across, down) / 2) * 2
    return (long, short) if across >= down else (short, long)


def file_names(model: str, input: Mapping[str, Any]) -> list[str]:
    if films(model):
        return ["out-0.mp4"]
    return [f"out-{i}.{input.get('output_format', 'webp')}" for i in range(input.get("num_outputs", 1))]


def output(model: str, files: list[str]) -> str | list[str]:
    """Some models answer one URL, others a list of them."""
    return files[0] if films(model) or "pro" in model.rpartition("/")[2].split("-") else files


def price_usd(model: str, input: Mapping[str, Any]) -> float:
    if films(model):
        return round(FILM_SECOND_USD * int(input.get("duration", FILM_S)), 6)
    return round(PICTURE_USD * int(input.get("num_outputs", 1)), 6)


def inline_picture(uri: str) -> bytes | None:
    """The picture in a data: URI; None for any other URL. Raises InvalidInput for what is no picture."""
    if not uri.startswith("data:"):
        return None
    try:
        picture = base64.b64decode(uri.partition(";base64,")[2], validate=True)
        frame_demuxer(picture)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("input.image", f"Not a picture: {error}") from None
    return picture
