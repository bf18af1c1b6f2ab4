"""Luma Dream Machine's videos: create a generation, poll it, find it in the list (Dream Machine API reference).

No idempotency key, but a list that gives each request back. Nothing says how long an asset's URL lives, nor that a
DELETE stops what is running.
"""

import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from jobrunner.errors import AttemptError, PermanentError, TransientError
from jobrunner.net import Net
from jobrunner.providers.answers import BadAnswer, Line, judged, outputs_in, read_object, unsupported
from jobrunner.providers.driver import CancelAnswer, Capabilities, Desk, Failed, Finished, Listed, Poll, Running
from jobrunner.request import Request, VideoRequest
from jobrunner.settings.tables import Provider
from jobrunner.work import Handle, Intent, Output, Plan

BASE_URL = "https://api.lumalabs.ai/dream-machine/v1"
MODELS = ("ray-2", "ray-flash-2")
RATIOS = ("1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21")
DURATIONS_S = (5, 9)
RESOLUTIONS = {540: "540p", 720: "720p", 1080: "1080p", 2160: "4k"}
"""By the shorter side in pixels."""
PAGE = 100
MAX_PAGES = 100
KEPT = ("id", "model", "created_at")

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Luma:
    name = "luma"
    capabilities = Capabilities(routes=frozenset({"video"}), handle=True, lists=True)

    def __init__(self, net: Net, settings: Provider) -> None:
        self._line = Line(net, settings, provider=self.name, base_url=BASE_URL)

    def prepare(self, model: str, request: Request) -> Plan:
        """The seed is dropped, since these models take none; size and length become the nearest that they make."""
        if not isinstance(request, VideoRequest):
            raise unsupported(self.name, "route", f"only videos are spoken, not {request.route}")
        if model not in MODELS:
            raise unsupported(self.name, "model", f"{model!r} is none of {', '.join(MODELS)}")
        if request.image is not None:
            why = "Luma downloads pictures from public https URLs, and the files kept here have none; use runway"
            raise unsupported(self.name, "image", why)
        width, height = request.size
        side = min(RESOLUTIONS, key=lambda pixels: abs(math.log(pixels / min(width, height))))
        shape = math.log(width / height)
        body = {
            "generation_type": "video",
            "model": model,
            "prompt": request.prompt,
            "aspect_ratio": min(RATIOS, key=lambda ratio: abs(math.log(Fraction(ratio.replace(":", "/"))) - shape)),
            "duration": f"{min(DURATIONS_S, key=lambda seconds: abs(seconds - request.duration_s))}s",
            "resolution": RESOLUTIONS[side],
        }
        return Plan(self.name, model, "generations/video", body)

    async def submit(self, intent: Intent, desk: Desk) -> Handle:  # noqa: ARG002  # no files, in or out
        plan = intent.plan
        body = dict(plan.body) | ({"callback_url": intent.webhook_url} if intent.webhook_url else {})
        async with self._line.open("POST", plan.endpoint, body=body, create=True) as answer:
            generation = await read_object(answer)
            if not _has_id(generation):
                raise BadAnswer("a generation without a usable id")
            return _handle(generation)

    async def poll(self, handle: Handle) -> Poll:
        try:
            generation = await self._line.ask("GET", f"generations/{handle.id}")
        except PermanentError as error:
            if error.code != "provider_not_found":
                raise
            return Failed(_ended("is unknown to luma, or was deleted", "artifact_expired", handle))
        match generation.get("state"):
            case "completed":
                return _finished(generation, handle)
            case "failed":
                return Failed(judged(self.name, str(generation.get("failure_reason") or ""), None))
            case "queued" | "dreaming":
                return Running()
            case state:
                self._line.wonder(str(state)[:50], ())
                return Running()

    async def fetch(self, output: Output, spool: Path) -> Path:
        return await self._line.fetch(output, spool)

    async def cancel(self, handle: Handle) -> CancelAnswer:
        """Look first, since DELETE also deletes what is finished; of running work nobody promises that it stops."""
        try:
            generation = await self._line.ask("GET", f"generations/{handle.id}")
            if generation.get("state") in ("completed", "failed"):
                return "too_late"
            async with self._line.open("DELETE", f"generations/{handle.id}"):
                return "unknown"
        except AttemptError:
            return "unknown"

    async def listed(self, since: float) -> list[Listed]:
        return [Listed(_handle(each), partial(_made_from, each)) async for each in self._videos(since)]

    async def aclose(self) -> None:
        await self._line.aclose()

    async def _videos(self, since: float) -> AsyncIterator[Mapping[str, Any]]:
        """The list's order is not documented, so every page is read."""
        for page in range(MAX_PAGES):
            answer = await self._line.ask("GET", f"generations?limit={PAGE}&offset={page * PAGE}")
            for generation in answer.get("generations") or ():
                is_video = isinstance(generation.get("request"), Mapping) and _has_id(generation)
                if is_video and _time(generation.get("created_at")) >= since:
                    yield generation
            if not answer.get("has_more"):
                return
        raise TransientError(f"luma lists more than {MAX_PAGES} pages of generations.", provider=self.name)


def _has_id(generation: Mapping[str, Any]) -> bool:
    """An id becomes part of a path, so it must be plain."""
    return _ID.fullmatch(str(generation.get("id") or "")) is not None


def _made_from(generation: Mapping[str, Any], plan: Plan) -> bool:
    """What Luma adds to a request does not matter."""
    return plan.body.items() <= dict(generation["request"]).items()


def _handle(generation: Mapping[str, Any]) -> Handle:
    return Handle("luma", generation["id"], submitted_at=_time(generation.get("created_at")) or time.time())


def _finished(generation: Mapping[str, Any], handle: Handle) -> Poll:
    assets = generation.get("assets")
    video = assets.get("video") if isinstance(assets, Mapping) else None
    outputs = tuple(Output("video", url=output.url) for output in outputs_in(video))
    if not outputs:
        return Failed(_ended("completed without a video in its assets", "provider_no_output", handle))
    return Finished(outputs, {key: generation[key] for key in KEPT if generation.get(key) is not None})


def _ended(how: str, code: str, handle: Handle) -> PermanentError:
    return PermanentError(f"Generation {handle.id} {how}.", code=code, provider="luma")


def _time(value: Any) -> float:
    """Unix seconds of an ISO 8601 time; 0 for anything else."""
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return 0.0
