"""Replicate predictions: create, poll, cancel, list (Replicate HTTP API reference, Predictions).

No idempotency key, but a list to find an orphan in. Everything about a prediction is deleted an hour after its
end. The URLs that answers carry are never called with the key: paths are rebuilt from the id, pages from the cursor.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from jobrunner.errors import AttemptError, PermanentError, TransientError
from jobrunner.net import Net
from jobrunner.providers.answers import BadAnswer, Line, judged, outputs_in, read_object, unsupported
from jobrunner.providers.driver import CancelAnswer, Capabilities, Desk, Failed, Finished, Listed, Poll, Running
from jobrunner.providers.files import data_uri, inlined_bytes
from jobrunner.providers.replicate_inputs import ROUTES, input_of
from jobrunner.request import Request
from jobrunner.settings.tables import Provider
from jobrunner.work import Artifact, Handle, Intent, Money, Output, Plan, fill

BASE_URL = "https://api.replicate.com"
PREDICTIONS = "v1/predictions"
MAX_PAGES = 100
INLINE_BYTES = 256 * 1024
"""The longest data: URI that an input may hold; larger files are uploaded first."""
KEPT = ("id", "model", "version", "metrics", "created_at", "started_at", "completed_at")

_MODEL = re.compile(r"(?P<path>[\w.-]+/[\w.-]+)(:(?P<version>[0-9a-f]{64}))?|(?P<bare>[0-9a-f]{64})")
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_PERCENT = re.compile(r"^\s*(\d{1,3})%\|", re.MULTILINE)
_CODE = re.compile(r"\bE\d{4}\b")


class Replicate:
    name = "replicate"
    capabilities = Capabilities(routes=ROUTES, handle=True, cancel=True, lists=True)

    def __init__(self, net: Net, settings: Provider) -> None:
        self._line = Line(net, settings, provider=self.name, base_url=BASE_URL)

    def prepare(self, model: str, request: Request) -> Plan:
        named = _MODEL.fullmatch(model)
        if named is None:
            raise unsupported(self.name, "model", f"{model!r} is no owner/name, owner/name:version or 64-digit version")
        input, files = input_of(model, request)
        body: dict[str, Any] = {"input": input}
        version = named["version"] or named["bare"]
        if version is not None:
            return Plan(self.name, model, PREDICTIONS, {"version": version, **body}, files)
        return Plan(self.name, model, f"v1/models/{named['path']}/predictions", body, files)

    async def submit(self, intent: Intent, desk: Desk) -> Handle:
        plan = intent.plan
        body = fill(plan.body, {str(file.id): await self._given(file, desk) for file in plan.files})
        body |= {"webhook": intent.webhook_url, "webhook_events_filter": ["completed"]} if intent.webhook_url else {}
        async with self._line.open("POST", plan.endpoint, body=body, create=True) as answer:
            prediction = await read_object(answer)
            if not _has_id(prediction):
                raise BadAnswer("a prediction without a usable id")
            return _handle(prediction)

    async def _given(self, file: Artifact, desk: Desk) -> str:
        """A small file goes into the input itself, a larger one ahead of it (it is gone after a day)."""
        if inlined_bytes(file) <= INLINE_BYTES:
            return await data_uri(file, desk)
        with await asyncio.to_thread(desk.path_of(file).open, "rb") as content:
            form = aiohttp.FormData()
            form.add_field("content", content, filename=str(file.id), content_type=file.mime)
            async with self._line.open("POST", "v1/files", data=form) as answer:
                urls = (await read_object(answer)).get("urls")
                if not isinstance(urls, Mapping) or not isinstance(urls.get("get"), str):
                    raise BadAnswer("an uploaded file without an URL")
                return str(urls["get"])

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

    async def listed(self, since: float) -> list[Listed]:
        """Predictions: the input and, where it is told, the model must match."""
        return [Listed(_handle(each), partial(_made_from, each)) async for each in self._newest_first(since)]

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
                self._line.wonder(str(status)[:50], ("starting", "processing"))
                return Running(_progress(prediction.get("logs")))


def _has_id(prediction: Mapping[str, Any]) -> bool:
    """An id becomes part of a path, so it must be plain."""
    return _ID.fullmatch(str(prediction.get("id") or "")) is not None


def _handle(prediction: Mapping[str, Any]) -> Handle:
    urls = prediction.get("urls")
    kept = {str(key): str(url) for key, url in urls.items()} if isinstance(urls, Mapping) else {}
    at = _time(prediction.get("created_at")) or time.time()
    return Handle("replicate", prediction["id"], urls=kept, submitted_at=at)


def _made_from(prediction: Mapping[str, Any], plan: Plan) -> bool:
    """`model` and `version` may be absent or "hidden"; files come back as URLs of Replicate's and are not compared."""
    model, version, input = prediction.get("model"), prediction.get("version"), prediction.get("input")
    same_model = model in (None, "hidden", plan.model.split(":")[0]) or "version" in plan.body
    same_version = version in (None, "hidden", plan.body.get("version", version))
    if not (same_model and same_version and isinstance(input, Mapping)):
        return False
    asked, files = plan.body["input"], dict.fromkeys(str(file.id) for file in plan.files)
    told = {key for key, value in asked.items() if fill(value, files) == value}
    return input.keys() == asked.keys() and all(input[key] == asked[key] for key in told)


def _finished(prediction: Mapping[str, Any], handle: Handle) -> Poll:
    if prediction.get("data_removed"):
        return Failed(_ended("is older than an hour and its files are deleted", "artifact_expired", handle))
    outputs = tuple(outputs_in(prediction.get("output")))
    if not outputs:
        return Failed(_ended("succeeded without a file in its output", "provider_no_output", handle))
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
