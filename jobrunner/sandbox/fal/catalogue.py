"""What the sandbox's models at fal take and make. A model's name says which kind it is; unknown inputs are ignored.

Where a sound is all that tells (lipsync), a fault word may stand among the tags of one that is inlined.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from jobrunner.media import sniff
from jobrunner.sandbox import uploads
from jobrunner.sandbox.artists import speeches
from jobrunner.sandbox.artists.clips import Shot, frame_demuxer
from jobrunner.sandbox.artists.lips import SYNC_MODES
from jobrunner.sandbox.faults import words_of
from jobrunner.sandbox.state import State

Kind = Literal["image", "edit", "video", "speech", "music", "sound", "lipsync"]

_NAMES: Final[tuple[tuple[str, Kind], ...]] = (
    (r"/edit$", "edit"), (r"lipsync", "lipsync"), (r"video", "video"), (r"tts|speech", "speech"),
    (r"music|ace-step", "music"), (r"sound", "sound"),
)  # fmt: skip
_MEDIA: Final = dict.fromkeys(("video", "lipsync"), ("video", "mp4", "video/mp4")) | dict.fromkeys(
    ("speech", "music", "sound"), ("audio", "mp3", "audio/mpeg")
)
_SIZES: Final[Mapping[str, tuple[int, int]]] = {
    "square_hd": (1024, 1024), "square": (512, 512), "portrait_4_3": (768, 1024), "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768), "landscape_16_9": (1024, 576),
}  # fmt: skip
_FRAMES: Final[Mapping[str, tuple[int, int]]] = {"16:9": (848, 480), "1:1": (480, 480), "9:16": (480, 848)}
_PRICES_USD: Final[Mapping[Kind, float]] = {
    "image": 0.003, "edit": 0.04, "video": 0.05, "speech": 0.0001, "music": 0.0002, "sound": 0.0002,
    "lipsync": 0.25,
}  # fmt: skip
"""For a megapixel, a picture, a second, a character, a second, a second and a piece of any length."""
_MAX_SIDE: Final = 2048
_MAX_PICTURES: Final = 4


def kind_of(model: str) -> Kind:
    return next((kind for name, kind in _NAMES if re.search(name, model)), "image")


def words(input: Mapping[str, Any]) -> str:
    """The prompt, the text to speak, or what the tags of an inlined sound say."""
    return str(input.get("prompt") or input.get("text") or words_of(uploads.inlined(str(input.get("audio_url")))))


def price_usd(model: str, input: Mapping[str, Any]) -> float:
    kind = kind_of(model)
    width, height = _size(input)
    amount = {
        "image": _pictures(input) * width * height / 1e6,
        "edit": _pictures(input),
        "lipsync": 1,
        "speech": len(words(input)),
    }.get(kind, _seconds(input))
    return round(_PRICES_USD[kind] * amount, 6)


def problems(state: State, model: str, input: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What is wrong with an input, as fal's model errors say it."""
    kind = kind_of(model)
    if kind == "lipsync":
        yield from _lipsync_problems(state, input)
        return
    name = "text" if kind == "speech" else "prompt"
    if name not in input:
        yield _problem(name, "missing", "Field required", input)
    elif not isinstance(input[name], str) or not input[name]:
        yield _problem(name, "string_type", "Input should be a valid string", input[name])
    if _size(input, default=(0, 0)) == (0, 0) and "image_size" in input:
        yield _problem("image_size", "value_error", "Input should be a size", input["image_size"])
    if not 1 <= _pictures(input) <= _MAX_PICTURES:
        what = f"Input should be from 1 to {_MAX_PICTURES}"
        yield _problem("num_images", "less_than_equal", what, input["num_images"])
    if kind == "edit" and not input.get("image_urls"):
        yield _problem("image_urls", "missing", "Field required", input)
    if "image-to-video" in model and not input.get("image_url"):
        yield _problem("image_url", "missing", "Field required", input)
    for url in _given(kind, input):
        if not _is_picture(uploads.content_at(state.db, url)):
            yield _problem("image_url", "file_download_error", "Failed to download the file", url[:100])


def output(model: str, input: Mapping[str, Any], seed: int, urls: Sequence[str]) -> dict[str, Any]:
    """The result's JSON, where the files are at `urls`."""
    kind = kind_of(model)
    if kind not in _MEDIA:
        width, height = _size(input)
        files = [{"url": url, "width": width, "height": height, "content_type": mime(model, input)} for url in urls]
        return {"images": files, "seed": seed, "has_nsfw_concepts": [False] * len(urls), "prompt": words(input)}
    place, ending, content_type = _MEDIA[kind]
    return {place: {"url": urls[0], "content_type": content_type, "file_name": f"output.{ending}"}}


def names(model: str, input: Mapping[str, Any]) -> list[str]:
    """The files that will be made."""
    kind = kind_of(model)
    if kind in _MEDIA:
        return [f"output.{_MEDIA[kind][1]}"]
    return [f"{at}.{_format(input)}" for at in range(_pictures(input))]


def mime(model: str, input: Mapping[str, Any]) -> str:
    kind = kind_of(model)
    return _MEDIA[kind][2] if kind in _MEDIA else f"image/{_format(input)}"


async def make(state: State, model: str, input: Mapping[str, Any], seed: int, at: int) -> bytes:
    """The file number `at`."""
    kind, text = kind_of(model), words(input)
    given = [uploads.content_at(state.db, url) for url in _given(kind, input)]
    match kind:
        case "image":
            return await state.studio.picture(text, seed=seed + at, size=_size(input), format=_format(input))
        case "edit":
            size, format = _size(input), _format(input)
            return await state.studio.edited(given, None, text, seed=seed + at, size=size, format=format)
        case "video":
            size = _FRAMES.get(str(input.get("aspect_ratio")), _FRAMES["16:9"])
            return await state.clips.clip(Shot(text, seed, size, _seconds(input)), given[0] if given else None)
        case "speech":
            voice, language = str(input.get("voice", "Rachel")), str(input.get("language_code", "en"))
            return await state.recorder.spoken(text, voice, speed=float(input.get("speed", 1.0)), language=language)
        case "music" | "sound":
            return await state.recorder.composed(kind, text, length_s=_seconds(input), seed=seed)
        case "lipsync":
            video, sound = given
            mode = input.get("sync_mode", "cut_off")
            return await state.lips.synced(video, sound, mode, speeches.phonemes(state.db, sound))


def _lipsync_problems(state: State, input: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if input.get("sync_mode", "cut_off") not in SYNC_MODES:
        what = f"Input should be one of {', '.join(sorted(SYNC_MODES))}"
        yield _problem("sync_mode", "literal_error", what, input["sync_mode"])
    for name, kinds in (("video_url", ("video/",)), ("audio_url", ("audio/", "video/"))):
        if not input.get(name):
            yield _problem(name, "missing", "Field required", input)
        elif not (sniff(uploads.content_at(state.db, str(input[name]))[:16]) or "").startswith(kinds):
            yield _problem(name, "file_download_error", "Failed to download the file", str(input[name])[:100])


def _problem(field: str, type: str, message: str, input: Any) -> dict[str, Any]:
    url = f"https://docs.fal.ai/errors#{type}"
    return {"loc": ["body", field], "msg": message, "type": type, "url": url, "input": input}


def _given(kind: Kind, input: Mapping[str, Any]) -> list[str]:
    """The URLs of the files that it starts from."""
    urls = {
        "edit": input.get("image_urls"),
        "video": [input.get("image_url")],
        "lipsync": [input.get("video_url"), input.get("audio_url")],
    }.get(kind)
    return [str(url) for url in urls or () if url]


def _is_picture(content: bytes) -> bool:
    try:
        frame_demuxer(content)
    except ValueError:
        return False
    return True


def _pictures(input: Mapping[str, Any]) -> int:
    number = input.get("num_images", 1)
    return number if isinstance(number, int) else 0


def _format(input: Mapping[str, Any]) -> str:
    return "png" if input.get("output_format") == "png" else "jpeg"


def _seconds(input: Mapping[str, Any]) -> float:
    """`duration` is a number, or a string of one with or without its unit: 5, "5", "8s"."""
    named = re.fullmatch(r"(\d+(?:\.\d+)?)s?", str(input.get("duration", 5)))
    return float(named[1]) if named else 5.0


def _size(input: Mapping[str, Any], default: tuple[int, int] = (1024, 768)) -> tuple[int, int]:
    """`image_size` is a word or {width, height}; anything else is the default."""
    asked = input.get("image_size")
    if isinstance(asked, Mapping):
        sides = asked.get("width"), asked.get("height")
        return sides if all(isinstance(each, int) and 0 < each <= _MAX_SIDE for each in sides) else default  # type: ignore[return-value]
    return _SIZES.get(str(asked), default)
