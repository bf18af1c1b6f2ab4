"""Runway's videos: image_to_video and text_to_video, then polling a task (Runway API reference, 2024-11-06).

No idempotency key, no list, no webhooks: a create whose answer is lost stays unknown. A task's output URLs live for a
day or two, and each poll brings fresh ones.
"""

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from jobrunner.errors import AttemptError, PermanentError, TransientError
from jobrunner.net import Net
from jobrunner.providers.answers import BEARER, BadAnswer, Line, outputs_in, read_object, unsupported
from jobrunner.providers.driver import CancelAnswer, Capabilities, Desk, Failed, Finished, Listed, Poll, Running
from jobrunner.providers.files import inlined, inlined_bytes
from jobrunner.request import Request, VideoRequest
from jobrunner.settings.tables import Provider
from jobrunner.work import Artifact, Handle, Intent, Money, Output, Plan, file_mark

BASE_URL = "https://api.dev.runwayml.com"
VERSION = "2024-11-06"
MAX_PROMPT = 1000
IMAGE_BYTES = 5_000_000
IMAGE_MIMES = ("image/png", "image/jpeg", "image/webp")
POLL_S = 5.0
"""Runway asks to be polled no more often."""
KEPT = ("id", "createdAt", "cost")


@dataclass(frozen=True, slots=True)
class Model:
    """The ratios a model makes from a first frame and from words alone, and its lengths in seconds."""

    from_image: tuple[str, ...]
    from_text: tuple[str, ...]
    durations: Sequence[int]


_GEN4 = ("1280:720", "720:1280", "1104:832", "960:960", "832:1104", "1584:672")
_VEO = ("1280:720", "720:1280", "1920:1080", "1080:1920")
MODELS = {
    "gen4.5": Model(_GEN4, _GEN4[:2], range(2, 11)),
    "gen4_turbo": Model(_GEN4, (), range(2, 11)),
    "veo3.1": Model(_VEO, _VEO, (4, 6, 8)),
    "veo3.1_fast": Model(_VEO, _VEO, (4, 6, 8)),
}
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Runway:
    name = "runway"
    capabilities = Capabilities(routes=frozenset({"video"}), handle=True, cancel=True)

    def __init__(self, net: Net, settings: Provider) -> None:
        headers = BEARER | {"X-Runway-Version": VERSION}
        self._line = Line(net, settings, provider=self.name, base_url=BASE_URL, headers=headers)

    def prepare(self, model: str, request: Request) -> Plan:
        """Size and length become the nearest that the model makes."""
        if not isinstance(request, VideoRequest):
            raise unsupported(self.name, "route", f"only videos are spoken, not {request.route}")
        known = MODELS.get(model)
        if known is None:
            raise unsupported(self.name, "model", f"{model!r} is none of {', '.join(MODELS)}")
        units = len(request.prompt.encode("utf-16-le")) // 2
        if not 0 < units <= MAX_PROMPT:
            raise unsupported(self.name, "prompt", f"1 to {MAX_PROMPT} UTF-16 units, not {units}")
        ratios = known.from_text if request.image is None else known.from_image
        if not ratios:
            raise unsupported(self.name, "image", f"{model} needs a first frame; gen4.5 makes clips from words alone")
        body: dict[str, Any] = {
            "model": model,
            "promptText": request.prompt,
            "ratio": _ratio(ratios, *request.size),
            "duration": min(known.durations, key=lambda seconds: abs(seconds - request.duration_s)),
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.image is None:
            return Plan(self.name, model, "v1/text_to_video", body)
        _check_image(request.image)
        frame = body | {"promptImage": file_mark(request.image)}
        return Plan(self.name, model, "v1/image_to_video", frame, (request.image,))

    async def submit(self, intent: Intent, desk: Desk) -> Handle:
        plan = intent.plan
        body = await inlined(plan, desk)
        async with self._line.open("POST", plan.endpoint, body=body, create=True) as answer:
            id = str((await read_object(answer)).get("id") or "")
            if _ID.fullmatch(id) is None:  # it becomes part of a path
                raise BadAnswer("a task without a usable id")
            return Handle(self.name, id, submitted_at=time.time())

    async def poll(self, handle: Handle) -> Poll:
        try:
            task = await self._line.ask("GET", f"v1/tasks/{handle.id}")
        except PermanentError as error:
            if error.code != "provider_not_found":
                raise
            return Failed(_ended("is unknown to runway, or was deleted", "artifact_expired", handle))
        return self._read(task, handle)

    async def fetch(self, output: Output, spool: Path) -> Path:
        return await self._line.fetch(output, spool)

    async def cancel(self, handle: Handle) -> CancelAnswer:
        """Look first: the same DELETE that stops running work deletes finished work and its files."""
        try:
            match (await self._line.ask("GET", f"v1/tasks/{handle.id}")).get("status"):
                case "SUCCEEDED" | "FAILED":
                    return "too_late"
                case "CANCELLED":
                    return "cancelled"
            async with self._line.open("DELETE", f"v1/tasks/{handle.id}"):
                return "cancelled"
        except AttemptError:
            return "unknown"

    async def listed(self, since: float) -> list[Listed]:  # noqa: ARG002  # the Protocol's
        """Nothing can be found again: Runway lists no tasks."""
        return []

    async def aclose(self) -> None:
        await self._line.aclose()

    def _read(self, task: Mapping[str, Any], handle: Handle) -> Poll:
        match task.get("status"):
            case "SUCCEEDED":
                return _finished(task, handle)
            case "FAILED":
                return Failed(_failure(str(task.get("failure") or ""), str(task.get("failureCode") or "")))
            case "CANCELLED":
                return Failed(_ended("was cancelled at runway", "provider_cancelled", handle))
            case "RUNNING":
                progress = task.get("progress")
                return Running(float(progress) if isinstance(progress, int | float) else None, POLL_S)
            case "PENDING" | "THROTTLED":  # throttled: accepted, and waiting for our own other tasks to end
                return Running(retry_after_s=POLL_S)
            case status:
                self._line.wonder(str(status)[:50], ())
                return Running(retry_after_s=POLL_S)


def _ratio(ratios: Sequence[str], width: int, height: int) -> str:
    """The nearest shape, and among equal shapes the nearest size."""

    def distance(ratio: str) -> tuple[float, float]:
        wide, _, high = ratio.partition(":")
        shape = math.log(int(wide) / int(high)) - math.log(width / height)
        return round(abs(shape), 2), abs(math.log(int(wide) * int(high) / (width * height)))

    return min(ratios, key=distance)


def _check_image(image: Artifact) -> None:
    if image.mime not in IMAGE_MIMES:
        raise unsupported("runway", "image", f"PNG, JPEG or WebP, not {image.mime}")
    if inlined_bytes(image) > IMAGE_BYTES:
        why = f"{image.size_bytes:,} bytes are more than fit into its {IMAGE_BYTES:,} as a data: URI"
        raise unsupported("runway", "image", why)


def _finished(task: Mapping[str, Any], handle: Handle) -> Poll:
    outputs = tuple(output for output in outputs_in(task.get("output")) if output.kind == "video")
    if not outputs:
        return Failed(_ended("succeeded without a video in its output", "provider_no_output", handle))
    meta = {key: task[key] for key in KEPT if task.get(key) is not None}
    cost = task.get("cost")
    charged = cost.get("credits") if isinstance(cost, Mapping) else None
    money = Money(Decimal(str(charged)), "credits") if isinstance(charged, int | float) else None
    return Finished(outputs, meta, money)


def _failure(words: str, code: str) -> AttemptError:
    """Codes: Runway's guide to task failures. What is neither the input's fault nor unsafe may go well next time."""
    said = f"runway: {words[:500] or 'failed without an explanation'}"
    if "SAFETY" in code.split("."):
        return PermanentError(said, code="content_policy", provider="runway", provider_code=code)
    if code.startswith("ASSET."):
        return PermanentError(said, code="invalid_input", provider="runway", provider_code=code)
    return TransientError(said, provider="runway", provider_code=code or None)


def _ended(how: str, code: str, handle: Handle) -> PermanentError:
    return PermanentError(f"Task {handle.id} {how}.", code=code, provider="runway")
