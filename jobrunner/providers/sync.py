"""sync.so's lipsync: files and all in one create request, then polling a generation (sync.so API reference, v2).

It honours an Idempotency-Key (its guide to idempotent generation requests), so a create whose answer was lost is sent
again and finds the generation that it made; nothing needs to be looked up in the list, which names no key. There is
no call that cancels, and nothing says how long an output's URL lives.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from jobrunner.errors import AttemptError, PermanentError, SubmitUnknown, TransientError
from jobrunner.net import Net
from jobrunner.providers.answers import BadAnswer, Line, judged, outputs_in, read_object, refusal, unsupported
from jobrunner.providers.driver import CancelAnswer, Capabilities, Desk, Failed, Finished, Listed, Poll, Running
from jobrunner.request import LipsyncRequest, Request
from jobrunner.settings.tables import Provider
from jobrunner.work import Handle, Intent, Output, Plan, file_mark

BASE_URL = "https://api.sync.so"
FILE_BYTES = 20_000_000
"""The largest file that a create request may carry."""
OVER = frozenset({"COMPLETED", "FAILED", "REJECTED", "CANCELED", "CANCELLED", "TIMED_OUT"})
KEPT = ("id", "createdAt", "model", "outputDuration")

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_NO_KEY_LETTER = re.compile(r"[^A-Za-z0-9._~-]")
_OTHER_PAYLOAD = re.compile(r"CONFLICT|MISMATCH|PAYLOAD|REUSE")
_AGAIN = re.compile(r"time.?out|infra|database|pipeline|internal|unavailable", re.IGNORECASE)
_INPUTS_FAULT = re.compile(r"unsupported|missing|exceeded|validation|inaccessible|invalid|not_found", re.IGNORECASE)


class AlreadyMade(SubmitUnknown):
    """sync.so does not know how the first sending of this key ended, but which generation it belongs to."""

    def __init__(self, message: str, generation: str, **source: Any) -> None:
        super().__init__(message, **source)
        self.generation = generation


class Sync:
    name = "sync"
    capabilities = Capabilities(routes=frozenset({"lipsync"}), handle=True, idempotent=True)

    def __init__(self, net: Net, settings: Provider) -> None:
        key = {"x-api-key": "{key}"}
        self._line = Line(net, settings, provider=self.name, base_url=BASE_URL, headers=key, refuse=refused)

    def prepare(self, model: str, request: Request) -> Plan:
        if not isinstance(request, LipsyncRequest):
            raise unsupported(self.name, "route", f"only lipsync is spoken, not {request.route}")
        for field, file in (("video", request.video), ("audio", request.audio)):
            if file.size_bytes > FILE_BYTES:
                why = f"{file.size_bytes:,} bytes are more than the {FILE_BYTES:,} that it takes; make the file smaller"
                raise unsupported(self.name, field, f"{why}, or route lipsync to fal")
        options = {"sync_mode": request.sync_mode}
        body = {"model": model, "video": file_mark(request.video), "audio": file_mark(request.audio)}
        return Plan(self.name, model, "v2/generate", body | {"options": options}, (request.video, request.audio))

    async def submit(self, intent: Intent, desk: Desk) -> Handle:
        headers = {"Idempotency-Key": key_of(intent)}
        try:
            async with (
                _form(intent, desk) as form,
                self._line.open("POST", intent.plan.endpoint, data=form, headers=headers, create=True) as answer,
            ):
                return _handle((await read_object(answer)).get("id"))
        except AlreadyMade as known:
            return _handle(known.generation)

    async def poll(self, handle: Handle) -> Poll:
        try:
            generation = await self._line.ask("GET", f"v2/generate/{handle.id}")
        except PermanentError as error:
            if error.code != "provider_not_found":
                raise
            return Failed(_ended("is unknown to sync, or was deleted", "artifact_expired", handle))
        status = str(generation.get("status"))[:50]
        if status in OVER:
            return _read(generation, status, handle)
        self._line.wonder(status, {"PENDING", "PROCESSING"})
        return Running()

    async def fetch(self, output: Output, spool: Path) -> Path:
        return await self._line.fetch(output, spool)

    async def cancel(self, handle: Handle) -> CancelAnswer:
        """sync.so has no call for it: what runs goes on, and is billed."""
        try:
            generation = await self._line.ask("GET", f"v2/generate/{handle.id}")
        except AttemptError:
            return "unknown"
        return "too_late" if generation.get("status") in OVER else "unknown"

    async def listed(self, since: float) -> list[Listed]:  # noqa: ARG002  # the Protocol's
        """Nothing is looked for: sending the same intent again finds it."""
        return []

    async def aclose(self) -> None:
        await self._line.aclose()


def key_of(intent: Intent) -> str:
    """The intent's key in the letters that sync.so takes, 128 at most: what can be read of it, and a hash of all."""
    readable = _NO_KEY_LETTER.sub("~", intent.key)[:60]
    return f"{readable}.{hashlib.sha256(intent.key.encode()).hexdigest()[:32]}"


def refused(provider: str, status: int, headers: Mapping[str, str], raw: bytes, *, create: bool) -> AttemptError:
    """`refusal` of `{statusCode, errorCode?, message, error?}`, where the message may be a list.

    IDEMPOTENCY_* says that this key came before: unless with another payload, the work may be under way.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        return refusal(provider, status, headers, raw, create=create)
    message, code = body.get("message") or body.get("error"), body.get("errorCode")
    words = "; ".join(map(str, message)) if isinstance(message, list) else str(message or "")
    told = orjson.dumps({"error": {"message": words, "code": code}})
    error = refusal(provider, status, headers, told, create=create)
    source = {"provider": provider, "provider_code": error.provider_code, "request_id": error.request_id}
    if not str(code).startswith("IDEMPOTENCY_"):
        return error
    if _OTHER_PAYLOAD.search(str(code)):
        return PermanentError(str(error), code="invalid_input", **source)
    if generation := _ID.fullmatch(str(body.get("generationId") or "")):
        return AlreadyMade(str(error), generation[0], **source)
    return SubmitUnknown(str(error), **source)


@asynccontextmanager
async def _form(intent: Intent, desk: Desk) -> AsyncIterator[aiohttp.FormData]:
    """The plan as a multipart form, its files open to be streamed."""
    plan, form = intent.plan, aiohttp.FormData()
    form.add_field("model", plan.model)
    form.add_field("options", orjson.dumps(plan.body["options"]).decode())
    if intent.webhook_url is not None:
        form.add_field("webhookUrl", intent.webhook_url)
    async with AsyncExitStack() as stack:
        for field, file in zip(("video", "audio"), plan.files, strict=True):
            path = desk.path_of(file)
            opened = stack.enter_context(await asyncio.to_thread(path.open, "rb"))
            form.add_field(field, opened, filename=f"{field}{path.suffix}", content_type=file.mime)
        yield form


def _handle(id: Any) -> Handle:
    if not isinstance(id, str) or _ID.fullmatch(id) is None:  # it becomes part of a path
        raise BadAnswer("a generation without a usable id")
    return Handle("sync", id, submitted_at=time.time())


def _read(generation: Mapping[str, Any], status: str, handle: Handle) -> Poll:
    """What a generation that is over brought. Its error's code is `error_code` in the SDK, `errorCode` elsewhere."""
    if status == "COMPLETED":
        outputs = tuple(Output("video", url=output.url) for output in outputs_in(generation.get("outputUrl")))
        if not outputs:
            return Failed(_ended("completed without an output", "provider_no_output", handle))
        return Finished(outputs, {key: generation[key] for key in KEPT if generation.get(key) is not None})
    if status in ("CANCELED", "CANCELLED"):
        return Failed(_ended("was cancelled at sync", "provider_cancelled", handle))
    words, code = str(generation.get("error") or ""), generation.get("error_code") or generation.get("errorCode")
    error = judged("sync", words, None if code is None else str(code)[:100])
    if error.code == "provider_failed" and (status == "TIMED_OUT" or _AGAIN.search(str(code))):
        return Failed(TransientError(str(error), provider="sync", provider_code=error.provider_code))
    if error.code == "provider_failed" and _INPUTS_FAULT.search(str(code)):
        return Failed(
            PermanentError(str(error), code="invalid_input", provider="sync", provider_code=error.provider_code)
        )
    return Failed(error)


def _ended(how: str, code: str, handle: Handle) -> PermanentError:
    return PermanentError(f"Generation {handle.id} {how}.", code=code, provider="sync")
