"""A request as the input of a Replicate model. Each model names its own; these are the names that most of them share.

Pictures: the flux models' schema. Videos: the seedance models', `image` being the first frame.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from jobrunner.providers.answers import unsupported
from jobrunner.work import Artifact, ImageRequest, Request, VideoRequest, file_mark

ROUTES = frozenset({"image", "video"})
IMAGE_RATIOS = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
VIDEO_RATIOS = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9")
RESOLUTIONS = (480, 720)
DURATIONS_S = (4, 12)
"""What every seedance model makes; some make more."""

Input = tuple[dict[str, Any], tuple[Artifact, ...]]
"""The JSON, and the files that it marks."""


def input_of(request: Request) -> Input:
    """Raises PermanentError `unsupported_input`."""
    match request:
        case ImageRequest():
            return _image(request)
        case VideoRequest():
            return _video(request)
    raise unsupported("replicate", "route", f"only {' and '.join(sorted(ROUTES))} are spoken, not {request.route}")


def _image(request: ImageRequest) -> Input:
    if request.references:
        raise unsupported("replicate", "references", "this model draws from words alone")
    ratio = {} if request.size is None else {"aspect_ratio": _ratio(IMAGE_RATIOS, *request.size)}
    input = {"prompt": request.prompt, "num_outputs": request.n, "output_format": "png", **_seed(request.seed), **ratio}
    return input, ()


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
