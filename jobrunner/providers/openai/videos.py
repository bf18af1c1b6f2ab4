"""Videos: POST /videos, poll, list, and a content that is fetched with the key (OpenAI API reference, Videos).

OpenAI announced the end of its own for 2026-09-24; other servers speak the same, and a route to one is the operator's
to set. A handle's id, and an output's URL, is a path below `base_url`: the key goes nowhere else.
There is no cancel call, and no idempotency key, but a list to find an orphan in.
"""

import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jobrunner.errors import AttemptError, PermanentError, TransientError
from jobrunner.net import save
from jobrunner.providers.answers import OUTPUT_BYTES, BadAnswer, Line, judged, read_object, unsupported
from jobrunner.providers.driver import CancelAnswer, Desk, Failed, Finished, Listed, Poll, Running
from jobrunner.providers.openai.forms import form_of, unpacked
from jobrunner.providers.openai.reading import raise_hidden
from jobrunner.request import VideoRequest
from jobrunner.work import Handle, Output, Plan, file_mark

VIDEOS = "videos"
PREFIX = f"{VIDEOS}/"
SECONDS = (4, 8, 12)
SIZES = ((1280, 720), (720, 1280))
LARGE_SIZES = ((1792, 1024), (1024, 1792))
"""What the -pro models make beside."""
TAKEN = frozenset({"image/png", "image/jpeg", "image/webp"})
MAX_POLL_S = 60.0
PAGE = 100
MAX_PAGES = 100
KEPT = ("id", "model", "seconds", "size", "created_at", "completed_at")

_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")


def filming(model: str, request: VideoRequest) -> Plan:
    """Size and length become the nearest that these models make; the seed is dropped, since they take none."""
    sizes = (*SIZES, *LARGE_SIZES) if model.endswith("-pro") else SIZES
    body: dict[str, Any] = {
        "model": model,
        "prompt": request.prompt,
        "seconds": str(min(SECONDS, key=lambda seconds: abs(seconds - request.duration_s))),
        "size": "{}x{}".format(*_nearest(sizes, *request.size)),
    }
    if request.image is None:
        return Plan("openai", model, VIDEOS, body)
    if request.image.mime not in TAKEN:
        raise unsupported("openai", "image", f"PNG, JPEG or WebP, not {request.image.mime}")
    return Plan("openai", model, VIDEOS, body | {"input_reference": file_mark(request.image)}, (request.image,))


def _nearest(sizes: tuple[tuple[int, int], ...], width: int, height: int) -> tuple[int, int]:
    """The nearest shape, and among like shapes the nearest size."""

    def distance(size: tuple[int, int]) -> tuple[float, float]:
        shape = abs(math.log(size[0] / size[1]) - math.log(width / height))
        return round(shape, 1), abs(math.log(size[0] * size[1] / (width * height)))

    return min(sizes, key=distance)


async def film(line: Line, plan: Plan, desk: Desk) -> Handle:
    parts = unpacked(plan).items()
    async with form_of(parts, desk) as form, line.open("POST", VIDEOS, data=form, create=True) as answer:
        video = await read_object(answer)
        raise_hidden(video if "id" not in video else {}, answer.headers.get("x-request-id"))
        if not _has_id(video):
            raise BadAnswer("a video without a usable id")
        return _handle(video)


async def poll(line: Line, handle: Handle) -> Poll:
    try:
        async with line.open("GET", handle.id) as answer:
            video, wait_s = await read_object(answer), _wait_s(answer.headers)
    except PermanentError as error:
        if error.code != "provider_not_found":
            raise
        message = f"Video {handle.id} is unknown to openai, or was deleted."
        return Failed(PermanentError(message, code="artifact_expired", provider="openai"))
    match video.get("status"):
        case "completed":
            meta = {key: video[key] for key in KEPT if video.get(key) is not None}
            return Finished((Output("video", url=f"{handle.id}/content"),), meta)
        case "failed":
            said = video.get("error")
            said = said if isinstance(said, Mapping) else {}
            return Failed(judged("openai", said.get("message") or "", said.get("code")))
        case status:
            line.wonder(str(status)[:50], ("queued", "in_progress"))
            progress = video.get("progress")
            done = min(max(progress / 100, 0.0), 1.0) if isinstance(progress, int | float) else None
            return Running(done, wait_s)


async def fetch(line: Line, output: Output, spool: Path) -> Path:
    """The content, by its path below `base_url`."""
    try:
        async with line.open("GET", output.url or "") as answer:
            return (await save(answer, spool, max_bytes=OUTPUT_BYTES)).path
    except PermanentError as error:
        if error.code != "provider_not_found":
            raise
        raise PermanentError(str(error), code="artifact_expired", provider="openai") from error


async def cancel(line: Line, handle: Handle) -> CancelAnswer:
    """Nothing stops what runs, and DELETE is for what is over."""
    try:
        video = await line.ask("GET", handle.id)
    except AttemptError:
        return "unknown"
    return "too_late" if video.get("status") in ("completed", "failed") else "unknown"


async def listed(line: Line, since: float) -> list[Listed]:
    return [Listed(_handle(each), partial(_made_from, each)) async for each in _newest_first(line, since)]


def _made_from(video: Mapping[str, Any], plan: Plan) -> bool:
    """Words, model, size and length must match; of a first frame the list tells nothing."""
    wanted = {name: value for name, value in plan.body.items() if name != "input_reference"}
    return plan.endpoint == VIDEOS and wanted.items() <= video.items()


async def _newest_first(line: Line, since: float) -> AsyncIterator[dict[str, Any]]:
    """`created_at` is in whole seconds, so one that was made within the second of `since` counts."""
    page = f"{VIDEOS}?limit={PAGE}&order=desc"
    after = ""
    for _ in range(MAX_PAGES):
        answer = await line.ask("GET", page + after)
        listed = answer.get("data")
        videos = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        for video in filter(_has_id, videos):
            if _created_at(video) < math.floor(since):
                return
            yield video
        if not answer.get("has_more") or not videos:
            return
        after = f"&after={quote(str(videos[-1].get('id')), safe='')}"
    raise TransientError(f"openai lists more than {MAX_PAGES} pages of videos.", provider="openai")


def _has_id(video: Mapping[str, Any]) -> bool:
    """An id becomes part of a path, so it must be plain."""
    return _ID.fullmatch(str(video.get("id") or "")) is not None


def _handle(video: Mapping[str, Any]) -> Handle:
    return Handle("openai", f"{PREFIX}{video['id']}", submitted_at=_created_at(video) or time.time())


def _created_at(video: Mapping[str, Any]) -> float:
    created = video.get("created_at")
    return float(created) if isinstance(created, int | float) else 0.0


def _wait_s(headers: Mapping[str, str]) -> float | None:
    """When to ask again, if the server says so."""
    asked = headers.get("openai-poll-after-ms", "")
    return min(int(asked) / 1000, MAX_POLL_S) if re.fullmatch(r"\d{1,9}", asked) else None
