"""A request as the input of a Replicate model. Each model names its own; these are the names that most of them share.

Pictures: the flux models' schema. Edits: flux-kontext's `input_image`, or the list that nano-banana and seedream take.
Videos: the seedance models', `image` being the first frame. Speech: minimax's, or kokoro's `voice`. Music and sounds:
stable-audio's and musicgen's `duration`, or elevenlabs' milliseconds.
"""

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from jobrunner.providers.answers import unsupported
from jobrunner.request import (
    NARRATOR,
    ImageEdit,
    ImageRequest,
    MusicRequest,
    Request,
    SoundRequest,
    SpeechRequest,
    VideoRequest,
)
from jobrunner.work import Artifact, file_mark

ROUTES = frozenset({"image", "image_edit", "video", "speech", "music", "sound"})
IMAGE_RATIOS = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
VIDEO_RATIOS = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9")
RESOLUTIONS = (480, 720)
DURATIONS_S = (4, 12)
"""What every seedance model makes; some make more."""
SPEEDS = (0.5, 2.0)
NARRATORS = {"minimax": ("voice_id", "Wise_Woman"), "kokoro": ("voice", "af_bella"), "elevenlabs": ("voice", "Rachel")}
"""By a word in the model's name: what it calls the voice, and its default."""

_MANY_PICTURES = re.compile(r"nano-banana|seedream")
_TWO_SIZES = re.compile(r"/flux-(schnell|dev)$")
"""They draw one megapixel, or a quarter of it."""
_SMALL_PIXELS = 512 * 512

Input = tuple[dict[str, Any], tuple[Artifact, ...]]
"""The JSON, and the files that it marks."""


def input_of(model: str, request: Request) -> Input:
    """Raises PermanentError `unsupported_input`."""
    match request:
        case ImageRequest():
            return _image(model, request)
        case ImageEdit():
            return _edit(model, request)
        case VideoRequest():
            return _video(request)
        case SpeechRequest():
            return _speech(model, request), ()
        case MusicRequest(prompt, length_s, instrumental):
            sung = {"force_instrumental": instrumental} if model.startswith("elevenlabs/") else {}
            return {"prompt": prompt, **_length(model, length_s), **sung}, ()
        case SoundRequest(prompt, length_s):
            return {"prompt": prompt, **_length(model, length_s)}, ()
    raise unsupported("replicate", "route", f"{request.route} is not among {', '.join(sorted(ROUTES))}")


def _image(model: str, request: ImageRequest) -> Input:
    given = request.references
    if given and not _MANY_PICTURES.search(model):
        why = f"{model} draws from words alone; nano-banana and seedream take pictures"
        raise unsupported("replicate", "references", why)
    size = {} if request.size is None else _size(model, *request.size)
    input = {"prompt": request.prompt, "output_format": "png", **_seed(request.seed), **size}
    if not given:
        return input | {"num_outputs": request.n}, ()
    _refuse_many(request.n)
    return input | {"image_input": [file_mark(each) for each in given]}, given


def _size(model: str, width: int, height: int) -> dict[str, str]:
    ratio = {"aspect_ratio": _ratio(IMAGE_RATIOS, width, height)}
    small = _TWO_SIZES.search(model) and width * height <= _SMALL_PIXELS
    return ratio | {"megapixels": "0.25"} if small else ratio


def _edit(model: str, request: ImageEdit) -> Input:
    if request.mask is not None:
        raise unsupported("replicate", "mask", "its editing models change the whole picture, as words ask")
    _refuse_many(request.n)
    mark = file_mark(request.image)
    given = {"image_input": [mark]} if _MANY_PICTURES.search(model) else {"input_image": mark}
    ratio = "match_input_image" if request.size is None else _ratio(IMAGE_RATIOS, *request.size)
    return {"prompt": request.instruction, "aspect_ratio": ratio, "output_format": "png", **given}, (request.image,)


def _refuse_many(n: int) -> None:
    if n != 1:
        raise unsupported("replicate", "n", f"models that are given pictures answer one a call, not {n}")


def _speech(model: str, request: SpeechRequest) -> dict[str, Any]:
    if not SPEEDS[0] <= request.speed <= SPEEDS[1]:
        raise unsupported("replicate", "speed", f"{SPEEDS[0]:g} to {SPEEDS[1]:g}, not {request.speed:g}")
    name, narrator = next((each for word, each in NARRATORS.items() if word in model), ("voice", None))
    voice = narrator if request.voice == NARRATOR else request.voice
    words = "prompt" if model.startswith("elevenlabs/") else "text"
    body = {words: request.text, name: voice, "language_code": request.language, "speed": request.speed}
    return {key: value for key, value in body.items() if value is not None}


def _length(model: str, length_s: float) -> dict[str, int]:
    if model.startswith("elevenlabs/"):
        return {"music_length_ms": round(length_s * 1000)}
    return {"duration": max(1, round(length_s))}


def _video(request: VideoRequest) -> Input:
    side = min(RESOLUTIONS, key=lambda pixels: abs(math.log(pixels / min(request.size))))
    input = {
        "prompt": request.prompt,
        "duration": min(max(round(request.duration_s), DURATIONS_S[0]), DURATIONS_S[1]),
        "resolution": f"{side}p",
        "aspect_ratio": _ratio(VIDEO_RATIOS, *request.size),
        **_seed(request.seed),
    }
    if request.image is None:
        return input, ()
    return input | {"image": file_mark(request.image)}, (request.image,)


def _seed(seed: int | None) -> dict[str, int]:
    return {} if seed is None else {"seed": seed}


def _ratio(ratios: Sequence[str], width: int, height: int) -> str:
    """Such models take a ratio and choose the pixels; nearest by factor: 2:1 is as far from 1:1 as 1:2 is."""
    wanted = math.log(width / height)
    return min(ratios, key=lambda ratio: abs(math.log(Fraction(ratio.replace(":", "/"))) - wanted))
