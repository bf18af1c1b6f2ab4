"""What fal's models are given: a request in the input names that most of them share, and the files it mentions.

Each model has a schema of its own. The names below are those of flux (image), nano-banana/edit (image_urls),
kling-video and seedance (video), elevenlabs/tts (speech), ace-step (music), cassetteai (sound) and sync-lipsync; fal
drops names that a model does not know.
"""

import asyncio
import math
import re
from typing import Any

from jobrunner.net import Net
from jobrunner.providers.answers import BadAnswer, Line, read_object, unsupported
from jobrunner.providers.driver import Desk
from jobrunner.providers.files import data_uri
from jobrunner.request import (
    ImageEdit,
    ImageRequest,
    LipsyncRequest,
    MusicRequest,
    Request,
    SoundRequest,
    SpeechRequest,
    VideoRequest,
)
from jobrunner.settings.tables import Provider
from jobrunner.work import Artifact, file_mark

KEY = {"Authorization": "Key {key}"}
QUEUE_URL = "https://queue.fal.run"
REST_URL = "https://rest.fal.ai"
CDN_URL = "https://v3.fal.media"
INLINE_BYTES = 4 * 1024 * 1024
"""A smaller file travels in the request as a data: URI."""
UPLOAD_BYTES = 100 * 1024 * 1024
"""The largest file that fal's CDN takes in one piece; above it, fal-client sends parts."""
KEPT = '{"expiration_duration_seconds": 86400}'
"""How long an upload is readable by whoever knows its URL: a day, far longer than a request waits."""
RATIOS = {"16:9": 16 / 9, "1:1": 1.0, "9:16": 9 / 16}

_TOKEN = re.compile(r"[\x21-\x7e]+")


def inputs(model: str, request: Request) -> tuple[dict[str, Any], tuple[Artifact, ...]]:
    """The model's input, and the files that it marks. Raises PermanentError `unsupported_input`."""
    match request:
        case ImageRequest(prompt, n, size, seed, references):
            body, files = _image(model, prompt, n, size, references) | {"seed": seed}, references
        case ImageEdit(image):
            body, files = _edit(model, request), (image,)
        case VideoRequest():
            body, files = _video(model, request)
        case SpeechRequest(text, voice, language, speed):
            body, files = {"text": text, "voice": voice, "language_code": language, "speed": speed}, ()
        case MusicRequest(prompt, length_s, instrumental):
            body, files = {"prompt": prompt, "duration": round(length_s), "instrumental": instrumental}, ()
        case SoundRequest(prompt, length_s):
            body, files = {"prompt": prompt, "duration": max(1, round(length_s))}, ()
        case LipsyncRequest(video, audio, sync_mode):
            urls = {"video_url": file_mark(video), "audio_url": file_mark(audio)}
            body, files = urls | {"sync_mode": sync_mode}, (video, audio)
        case _:
            raise unsupported("fal", "route", f"{request.route} is not spoken")
    for file in files:
        if file.size_bytes > UPLOAD_BYTES:
            raise unsupported("fal", "files", f"{file.size_bytes:,} bytes are more than the {UPLOAD_BYTES:,} it takes")
    return {name: value for name, value in body.items() if value is not None}, files


def _image(
    model: str, prompt: str, n: int, size: tuple[int, int] | None, given: tuple[Artifact, ...]
) -> dict[str, Any]:
    """Given pictures are for editing models only: one that draws from words alone would silently leave them out."""
    if given and not model.endswith("/edit"):
        raise unsupported("fal", "references", f"{model} draws from words alone; a model that ends in /edit takes them")
    return {
        "prompt": prompt,
        "num_images": n,
        "image_size": size and {"width": size[0], "height": size[1]},
        "output_format": "png",
        "image_urls": [file_mark(each) for each in given] or None,
    }


def _edit(model: str, request: ImageEdit) -> dict[str, Any]:
    if request.mask is not None:
        raise unsupported("fal", "mask", "its editing models change the whole picture, as words ask")
    return _image(model, request.instruction, request.n, request.size, (request.image,))


def _video(model: str, request: VideoRequest) -> tuple[dict[str, Any], tuple[Artifact, ...]]:
    """The size chooses the nearest aspect ratio; the resolution is the model's own, since each knows other words.

    The duration is whole seconds as a string, which models that want a number read as one; Veo writes "8s".
    """
    if request.image is not None and "text-to-video" in model:
        raise unsupported(
            "fal", "image", f"{model} films from words alone; an image-to-video model takes a first frame"
        )
    wanted = math.log(request.size[0] / request.size[1])
    seconds = max(1, round(request.duration_s))
    body = {
        "prompt": request.prompt,
        "duration": f"{seconds}s" if "veo" in model else str(seconds),
        "aspect_ratio": min(RATIOS, key=lambda ratio: abs(math.log(RATIOS[ratio]) - wanted)),
        "seed": request.seed,
        "image_url": request.image and file_mark(request.image),
    }
    return body, () if request.image is None else (request.image,)


def storage_urls(base_url: str | None) -> tuple[str, str]:
    """Fal's REST and CDN: hosts beside its queue, but below any other `base_url` (the sandbox, a proxy)."""
    base = (base_url or QUEUE_URL).rstrip("/")
    return (REST_URL, CDN_URL) if base == QUEUE_URL else (f"{base}/rest", f"{base}/cdn")


class Storage:
    """Where a model finds its input files: in the request, or on fal's CDN (as fal-client's `upload` puts them)."""

    def __init__(self, net: Net, settings: Provider) -> None:
        rest, cdn = (settings.model_copy(update={"base_url": url}) for url in storage_urls(settings.base_url))
        self._rest = Line(net, rest, provider="fal", base_url=REST_URL, headers=KEY)
        self._cdn = Line(net, cdn, provider="fal", base_url=CDN_URL, headers={})

    async def place(self, file: Artifact, desk: Desk) -> str:
        """A URL of the file that a model can read. Raises PermanentError, RateLimited or TransientError."""
        if file.size_bytes <= INLINE_BYTES:
            return await data_uri(file, desk)
        path = desk.path_of(file)
        headers = {
            "Authorization": await self.permission(),
            "Content-Type": file.mime,
            "X-Fal-File-Name": f"{file.id}{path.suffix}",
            "X-Fal-Object-Lifecycle": KEPT,
        }
        with await asyncio.to_thread(path.open, "rb") as data:
            async with self._cdn.open("POST", "files/upload", data=data, headers=headers) as answer:
                url = (await read_object(answer)).get("access_url")
                if not isinstance(url, str):
                    raise BadAnswer("an upload without an access_url")
                return url

    async def permission(self) -> str:
        """A token of the CDN's own, so that the key goes to the queue and to REST only."""
        path = "storage/auth/token?storage_type=fal-cdn-v3"
        async with self._rest.open("POST", path, body={}) as answer:
            told = await read_object(answer)
            kind, token = str(told.get("token_type")), str(told.get("token"))
            if not (_TOKEN.fullmatch(kind) and _TOKEN.fullmatch(token)):
                raise BadAnswer("no usable upload token")
            return f"{kind} {token}"

    async def aclose(self) -> None:
        await self._rest.aclose()
        await self._cdn.aclose()
