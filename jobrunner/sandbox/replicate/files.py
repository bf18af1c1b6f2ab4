"""Makes the files that Replicate's models answer, and reads the pictures that they are given."""

from collections.abc import Mapping
from typing import Any, Final

from jobrunner.sandbox import uploads
from jobrunner.sandbox.artists.clips import Shot, frame_demuxer
from jobrunner.sandbox.replicate import catalogue
from jobrunner.sandbox.state import State

PICTURES_IN: Final = ("image", "input_image", "image_input")
"""Where models take pictures: a URL, or a list of them."""


async def make(state: State, model: str, input: Mapping[str, Any], *, seed: int, at: int) -> tuple[bytes, str]:
    """The file number `at` and its media type."""
    kind, text = catalogue.kind_of(model), catalogue.words(input)
    given = pictures(state, model, input)
    match kind:
        case "picture":
            format = catalogue.FORMATS[input.get("output_format", "webp")]
            if given:
                size = await _size_of_edit(state, input, given[0])
                made = await state.studio.edited(given, None, text, seed=seed + at, size=size, format=format)
            else:
                made = await state.studio.picture(text, seed=seed + at, size=catalogue.size(input), format=format)
            return made, f"image/{format}"
        case "film":
            shot = Shot(text, seed, catalogue.frame(input), catalogue.seconds(input))
            return await state.clips.clip(shot, given[0] if given else None), "video/mp4"
        case "speech":
            voice = str(input.get("voice_id") or input.get("voice") or "")
            return await state.recorder.spoken(text, voice, speed=float(input.get("speed", 1))), "audio/mpeg"
        case "music" | "sound":
            return await state.recorder.composed(kind, text, length_s=catalogue.seconds(input), seed=seed), "audio/mpeg"


def pictures(state: State, model: str, input: Mapping[str, Any]) -> list[bytes]:
    """The pictures that `model` is given. Raises InvalidInput."""
    if catalogue.kind_of(model) not in ("picture", "film"):
        return []
    named = {name: input.get(name) or [] for name in PICTURES_IN}
    lists = {name: given if isinstance(given, list) else [given] for name, given in named.items()}
    return [_picture(state, name, url) for name, urls in lists.items() for url in urls]


async def _size_of_edit(state: State, input: Mapping[str, Any], given: bytes) -> tuple[int, int]:
    """That of the picture, unless another is asked for."""
    asked = input.get("aspect_ratio", catalogue.AS_GIVEN)
    return await state.studio.measured(given) if asked == catalogue.AS_GIVEN else catalogue.size(input)


def _picture(state: State, name: str, url: Any) -> bytes:
    """What a data: URI holds, or the URL of an upload leads to."""
    picture = uploads.content_at(state.db, url) if isinstance(url, str) else b""
    try:
        frame_demuxer(picture)
    except ValueError:
        raise catalogue.InvalidInput(
            f"input.{name}", "Must be a picture: a data: URI or an uploaded file's URL"
        ) from None
    return picture
