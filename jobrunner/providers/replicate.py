"""Replicate predictions: create, poll, cancel, list (Replicate HTTP API reference, Predictions).

No idempotency key, but a list to find an orphan in. Everything about a prediction is deleted an hour after its
end. The URLs that answers carry are never called with the key: paths are rebuilt from the id, pages from the cursor.
"""

import logging
import math
import re
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jobrunner.errors import AttemptError, PermanentError, TransientError
from jobrunner.events import emit
from jobrunner.net import Net
from jobrunner.providers.answers import BadAnswer, Line, judged, pictures, read_object, unsupported
from jobrunner.providers.driver import CancelAnswer, Capabilities, Desk, Failed, Finished, Poll, Running
from jobrunner.settings import Provider
from jobrunner.work import Handle, ImageRequest, Intent, Money, Output, Plan, Request

BASE_URL = "https://api.replicate.com"
PREDICTIONS = "v1/predictions"
RATIOS = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
MAX_PAGES = 100
KEPT = ("id", "model", "version", "metrics", "created_at", "started_at", "completed_at")

_MODEL = re.compile(r"(?P<path>[\w.-]+/[\w.-]+)(:(?P<version>[0-9a-f]{64}))?|(?P<bare>[0-9a-f]{64})")
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_PERCENT = re.compile(r"^\s*(\d{1,3})%\|", re.MULTILINE)
_CODE = re.compile(r"\bE\d{4}\b")


class Replicate:
    name = "replicate"
    capabilities = Capabilities(routes=frozenset({"image"}), handle=True, cancel=True, lists=True)

    def __init__(self, net: Net, settings: Provider) -> None:
        self._line = Line(net, settings, provider=self.name, base_url=BASE_URL)
        self._known_statuses = {"starting", "processing"}

    def prepare(self, model: str, request: Request) -> Plan:
        """The input as the flux models name it; the size becomes the nearest aspect ratio."""
        named = _MODEL.fullmatch(model)
        if named is None:
            raise unsupported(self.name, "model", f"{model!r} is no owner/name, owner/name:version or 64-digit version")
        if not isinstance(request, ImageRequest):
            raise unsupported(self.name, "route", f"only images are spoken, not {request.route}")
        if request.references:
            raise unsupported(self.name, "references", "this model draws from words alone")
        body: dict[str, Any] = {"input": _input(request)}
        version = named["version"] or named["bare"]
        if version is not None:
            return Plan(self.name, model, PREDICTIONS, {"version": version, **body})
        return Plan(self.name, model, f"v1/models/{named['path']}/predictions", body)

    async def submit(self, intent: Intent, desk: Desk) -> Handle:  # noqa: ARG002  # nothing arrives in the answer
        plan = intent.plan
        async with self._line.open("POST", plan.endpoint, body=dict(plan.body), create=True) as answer:
            prediction = await read_object(answer)
            if not _has_id(prediction):
                raise BadAnswer("a prediction without a usable id")
            return _handle(prediction)

    async def poll(self, handle: Handle) -> Poll:
        try:
            prediction = await self._line.ask("GET", f"{PREDICTIONS}/{handle.id}")
        except PermanentError as error:
            if error.code != "provider_not_found":
                raise
            return Failed(_ended("is unknown to replicate, or deleted", "artifact_expired", handle))
        return self._read(prediction, handle)

    async def fetch(self, output: Output, spool: Path) -> Path:
        return await self._line.fetch(output, spool)

    async def cancel(self, handle: Handle) -> CancelAnswer:
        try:
            prediction = await self._line.ask("POST", f"{PREDICTIONS}/{handle.id}/cancel")
        except AttemptError:
            return "unknown"
        return "too_late" if prediction.get("status") in ("succeeded", "failed") else "cancelled"

    async def find(self, intent: Intent, since: float) -> list[Handle]:
        """Predictions made from this plan since `since`: the input and, where it is told, the model must match."""
        return [_handle(each) async for each in self._newest_first(since) if _made_from(each, intent.plan)]

    async def aclose(self) -> None:
        await self._line.aclose()

    async def _newest_first(self, since: float) -> AsyncIterator[Mapping[str, Any]]:
        page = PREDICTIONS
        for _ in range(MAX_PAGES):
            answer = await self._line.ask("GET", page)
            for prediction in answer.get("results") or ():
                if _time(prediction.get("created_at")) < since:
                    return
                if _has_id(prediction):
                    yield prediction
            following = urlsplit(answer.get("next") or "").query
            if not following:
                return
            page = f"{PREDICTIONS}?{following}"
        raise TransientError(f"replicate lists more than {MAX_PAGES} pages of predictions.", provider=self.name)

    def _read(self, prediction: Mapping[str, Any], handle: Handle) -> Poll:
        match prediction.get("status"):
            case "succeeded":
                return _finished(prediction, handle)
            case "failed":
                return Failed(_failure(str(prediction.get("error") or "")))
            case "canceled":
                return Failed(_ended("was cancelled at replicate", "provider_cancelled", handle))
            case "aborted":  # passed its deadline before it started, and costs nothing
                message = f"Prediction {handle.id} was given up by replicate before it started."
                return Failed(TransientError(message, code="provider_aborted", provider=self.name))
            case status:
                self._wonder(str(status)[:50])
                return Running(_progress(prediction.get("logs")))

    def _wonder(self, status: str) -> None:
        """A status word that we do not know is "still running", said once; the job's deadline bounds it."""
        if status not in self._known_statuses:
            self._known_statuses.add(status)
            emit("provider.unknown_status", logging.WARNING, provider=self.name, status=status)


def _input(request: ImageRequest) -> dict[str, Any]:
    seed = {} if request.seed is None else {"seed": request.seed}
    ratio = {} if request.size is None else {"aspect_ratio": _ratio(*request.size)}
    return {"prompt": request.prompt, "num_outputs": request.n, "output_format": "png", **seed, **ratio}


def _ratio(width: int, height: int) -> str:
    """The flux models take a ratio and choose the pixels; nearest by factor: 2:1 is as far from 1:1 as 1:2 is."""
    wanted = math.log(width / height)
    return min(RATIOS, key=lambda ratio: abs(math.log(Fraction(ratio.replace(":", "/"))) - wanted))


def _has_id(prediction: Mapping[str, Any]) -> bool:
    """An id becomes part of a path, so it must be plain."""
    return _ID.fullmatch(str(prediction.get("id") or "")) is not None


def _handle(prediction: Mapping[str, Any]) -> Handle:
    urls = prediction.get("urls")
    kept = {str(key): str(url) for key, url in urls.items()} if isinstance(urls, Mapping) else {}
    created = _time(prediction.get("created_at")) or time.time()
    return Handle("replicate", prediction["id"], urls=kept, submitted_at=created)


def _made_from(prediction: Mapping[str, Any], plan: Plan) -> bool:
    """`model` and `version` may be absent or "hidden"; the input is given back as it was sent."""
    model, version = prediction.get("model"), prediction.get("version")
    same_model = model in (None, "hidden", plan.model.split(":")[0]) or "version" in plan.body
    same_version = version in (None, "hidden", plan.body.get("version", version))
    return same_model and same_version and prediction.get("input") == plan.body["input"]


def _finished(prediction: Mapping[str, Any], handle: Handle) -> Poll:
    if prediction.get("data_removed"):
        return Failed(_ended("is older than an hour and its files are deleted", "artifact_expired", handle))
    outputs = tuple(Output("image", url=url) for url in pictures(prediction.get("output")))
    if not outputs:
        return Failed(_ended("succeeded without a picture in its output", "provider_no_output", handle))
    meta = {key: prediction[key] for key in KEPT if prediction.get(key) is not None}
    metrics = prediction.get("metrics")
    seconds = metrics.get("predict_time") if isinstance(metrics, Mapping) else None
    cost = Money(Decimal(str(seconds)), "seconds") if isinstance(seconds, (int, float)) else None
    return Finished(outputs, meta, cost)


def _failure(words: str) -> AttemptError:
    """A failed prediction says why in free text; E1000 is "unknown", all else would fail again."""
    found = _CODE.search(words)
    code = found[0] if found else None
    if code == "E1000":
        return TransientError(f"replicate: {words[:500]}", provider="replicate", provider_code=code)
    return judged("replicate", words, code)


def _ended(how: str, code: str, handle: Handle) -> PermanentError:
    return PermanentError(f"Prediction {handle.id} {how}.", code=code, provider="replicate")


def _progress(logs: Any) -> float | None:
    """The last tqdm line, ` 50%|#### | 2/4 [...]`, which is what Replicate's own client reads."""
    percents = _PERCENT.findall(logs) if isinstance(logs, str) else []
    return min(int(percents[-1]), 100) / 100 if percents else None


def _time(value: Any) -> float:
    """Unix seconds of an ISO 8601 time; 0 for anything else."""
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return 0.0
