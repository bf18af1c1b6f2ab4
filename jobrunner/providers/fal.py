"""fal.ai's queue: submit, status, result, cancel (fal's Inference API reference and fal-client 1.0).

No idempotency key and no list: a submit whose answer is lost stays unknown. COMPLETED says only that it is over; what
went wrong comes with the result, under a status of its own. A handle's id is the request's path below `base_url`,
since the URLs that answers name are never called with the key.
"""

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

from jobrunner.errors import AttemptError, PermanentError, RateLimited, TransientError
from jobrunner.net import Net
from jobrunner.providers.answers import BadAnswer, Line, explained, judged, read_object, refusal, unsupported
from jobrunner.providers.driver import CancelAnswer, Capabilities, Desk, Failed, Finished, Listed, Poll, Running
from jobrunner.providers.fal_inputs import KEY, QUEUE_URL, Storage, inputs
from jobrunner.request import Request
from jobrunner.settings.tables import Provider
from jobrunner.work import Handle, Intent, Kind, Output, Plan, fill

UNDER_WAY = frozenset({"IN_QUEUE", "IN_PROGRESS"})
ALREADY_COMPLETED = "already_completed"
KEPT = ("seed", "timings", "has_nsfw_concepts")
PLACES: Mapping[str, Kind] = {
    "images": "image",
    "image": "image",
    "video": "video",
    "audio": "audio",
    "audio_file": "audio",
    "audio_url": "audio",
}
"""Where the models' outputs have their files, `{url, content_type}` each, and what they are if no type is told."""

_MODEL = re.compile(r"(?P<app>((workflows|comfy)/)?NAME/NAME)(/NAME)*".replace("NAME", r"[A-Za-z0-9_][\w.-]*"))
_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_AGAIN = re.compile(r"timeout|^runner_|^internal_|_unavailable$")
_CANCELLED = frozenset({"client_cancelled", "client_disconnected"})
_MODELS_WORD = frozenset({"invalid_input", "content_policy"})


class Fal:
    name = "fal"
    capabilities = Capabilities(
        routes=frozenset({"image", "image_edit", "video", "speech", "music", "sound", "lipsync"}),
        handle=True,
        cancel=True,
    )

    def __init__(self, net: Net, settings: Provider) -> None:
        self._line = Line(net, settings, provider=self.name, base_url=QUEUE_URL, headers=KEY, refuse=refused)
        self._storage = Storage(net, settings)

    def prepare(self, model: str, request: Request) -> Plan:
        if _MODEL.fullmatch(model) is None:
            raise unsupported(self.name, "model", f"{model!r} is no owner/app or owner/app/path")
        body, files = inputs(model, request)
        return Plan(self.name, model, model, body, files)

    async def submit(self, intent: Intent, desk: Desk) -> Handle:
        plan = intent.plan
        places = {str(file.id): await self._storage.place(file, desk) for file in plan.files}
        path = plan.endpoint
        if intent.webhook_url is not None:
            path += f"?fal_webhook={quote(intent.webhook_url, safe='')}"
        async with self._line.open("POST", path, body=fill(plan.body, places), create=True) as answer:
            return _handle(plan.model, await read_object(answer))

    async def poll(self, handle: Handle) -> Poll:
        try:
            status = await self._line.ask("GET", f"{handle.id}/status")
            if status.get("status") == "COMPLETED":
                return await self._result(handle, status)
        except PermanentError as error:
            if error.code != "provider_not_found":
                raise
            message = f"Request {handle.id} is unknown to fal, or its result is deleted."
            return Failed(PermanentError(message, code="artifact_expired", provider=self.name))
        self._line.wonder(str(status.get("status"))[:50], UNDER_WAY)
        return Running()

    async def fetch(self, output: Output, spool: Path) -> Path:
        return await self._line.fetch(output, spool)

    async def cancel(self, handle: Handle) -> CancelAnswer:
        """What waits is removed; to what runs it is only a signal, so it may yet finish, and be billed."""
        try:
            await self._line.ask("PUT", f"{handle.id}/cancel")
        except AttemptError as error:
            return "too_late" if error.code == ALREADY_COMPLETED else "unknown"
        return "cancelled"

    async def listed(self, since: float) -> list[Listed]:  # noqa: ARG002  # the Protocol's
        """Nothing can be found again: the queue keeps no list."""
        return []

    async def aclose(self) -> None:
        await self._line.aclose()
        await self._storage.aclose()

    async def _result(self, handle: Handle, status: Mapping[str, Any]) -> Poll:
        """The model's own answer, good or bad. What is about this exchange alone is raised."""
        try:
            answer = await self._line.ask("GET", handle.id)
        except AttemptError as error:
            told = error.provider_code or error.code in _MODELS_WORD or status.get("error")
            if not told or isinstance(error, RateLimited) or error.code == "provider_auth":
                raise
            return Failed(error)
        if status.get("error"):
            return Failed(_reported(*explained(status)))
        outputs = tuple(_outputs(answer))
        if not outputs:
            return Failed(_empty(answer, handle))
        meta = {key: answer[key] for key in KEPT if key in answer}
        return Finished(outputs, meta | {"request": handle.id, "metrics": status.get("metrics")})


def refused(provider: str, status: int, headers: Mapping[str, str], raw: bytes, *, create: bool) -> AttemptError:
    """`refusal` in fal's words: error types, and `X-Fal-Retryable`, which outranks the status (fal, Model errors).

    A result that is an error carries a `provider_code`, if only its status; a gateway's complaint does not.
    """
    error = refusal(provider, status, headers, raw, create=create)
    retryable = headers.get("X-Fal-Retryable", "").lower()
    code = error.provider_code or headers.get("X-Fal-Error-Type") or (f"http_{status}" if retryable else None)
    error.provider_code = code
    source = {"provider": provider, "provider_code": code, "request_id": headers.get("X-Fal-Request-Id")}
    if status == 400 and b"ALREADY_COMPLETED" in raw:  # noqa: PLR2004
        return PermanentError(str(error), code=ALREADY_COMPLETED, **source)
    if code in _CANCELLED:
        return PermanentError(str(error), code="provider_cancelled", **source)
    if status == 403 and "balance" in str(error).lower():  # noqa: PLR2004  # "User is locked. Reason: Exhausted balance."
        return PermanentError(str(error), code="provider_quota", **source)
    if retryable == "true" and isinstance(error, PermanentError):
        return TransientError(str(error), **source)
    if retryable == "false" and type(error) is TransientError:
        return PermanentError(str(error), code="provider_failed", **source)
    return error


def _reported(words: str, code: str | None) -> AttemptError:
    """The error for a failure that is told under HTTP 200, where only its type says whether it may pass."""
    if code in _CANCELLED:
        return PermanentError(f"fal: {words}", code="provider_cancelled", provider="fal", provider_code=code)
    if code is not None and _AGAIN.search(code):
        return TransientError(f"fal: {words}", provider="fal", provider_code=code)
    return judged("fal", words, code)


def _empty(answer: Mapping[str, Any], handle: Handle) -> AttemptError:
    """Why a good answer brings no file: all of it was flagged, it is an error (older apps), or nobody knows."""
    flags = answer.get("has_nsfw_concepts")
    if isinstance(flags, list) and any(flags):
        message = f"fal: what request {handle.id} made was flagged as unsafe and blacked out."
        return PermanentError(message, code="content_policy", provider="fal")
    if answer.get("detail") or answer.get("error"):
        return _reported(*explained(answer))
    message = f"Request {handle.id} completed without a file in its output."
    return PermanentError(message, code="provider_no_output", provider="fal")


def _handle(model: str, accepted: Mapping[str, Any]) -> Handle:
    """Sub-paths of the app belong to the submit alone. An id becomes part of a path, so it must be plain."""
    named, id = _MODEL.fullmatch(model), str(accepted.get("request_id") or "")
    if named is None or not _ID.fullmatch(id):
        raise BadAnswer("a request without a usable id")
    urls = {key: str(accepted[key]) for key in ("status_url", "response_url", "cancel_url") if key in accepted}
    return Handle("fal", f"{named['app']}/requests/{id}", urls=urls, submitted_at=time.time())


def _outputs(answer: Mapping[str, Any]) -> Iterator[Output]:
    """The files; a picture that the safety checker flagged is a black one, and left out."""
    flags = answer.get("has_nsfw_concepts")
    flagged = {at for at, flag in enumerate(flags) if flag} if isinstance(flags, list) else set()
    for place, kind in PLACES.items():
        found = answer.get(place)
        for at, file in enumerate(found if isinstance(found, list) else [found]):
            url = file.get("url") if isinstance(file, Mapping) else file
            if isinstance(url, str) and not (place == "images" and at in flagged):
                mime = str(file.get("content_type") or "") if isinstance(file, Mapping) else ""
                named = next((each for each in get_args(Kind) if mime.startswith(f"{each}/")), kind)
                yield Output(named, url=url, mime=mime or None)
