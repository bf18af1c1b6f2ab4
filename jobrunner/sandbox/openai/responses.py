"""The Responses API: POST /responses, in background mode or not, GET, cancel, DELETE. Not spoken: streams, tools."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from jobrunner.sandbox import ledger
from jobrunner.sandbox.faults import DELIVERED, DELIVERY, SLOW_S
from jobrunner.sandbox.openai import extraction, protocol, response
from jobrunner.sandbox.openai.endpoints import Endpoints
from jobrunner.sandbox.openai.formats import schema_of, spoken
from jobrunner.sandbox.openai.protocol import ApiError, invalid
from jobrunner.sandbox.openai.response import Response
from jobrunner.sandbox.state import State

WRITE_S: Final = 0.8
QUEUED_SHARE: Final = 0.2
MAX_CHARS: Final = 1_000_000
PRICE_USD: Final = 0.0002
KNOWN: Final = frozenset(
    {
        *("model", "input", "instructions", "background", "store", "max_output_tokens", "text", "metadata"),
        *("temperature", "top_p", "reasoning", "service_tier", "stream", "user", "safety_identifier"),
    }
)


class Responses:
    def __init__(self, state: State, endpoints: Endpoints) -> None:
        self._state = state
        self._endpoints = endpoints

    async def create(self, request: web.Request) -> web.Response:
        body = await protocol.read_json(request, KNOWN)
        prompt = _checked(body)
        digest = ledger.body_sha256(body)
        word = protocol.fate_of(self._state, request, prompt, digest)
        now, length_s = time.time(), (SLOW_S if word == "slow" else WRITE_S) / self._state.speed
        made = Response(
            *(f"resp_{secrets.token_hex(24)}", orjson.dumps(body).decode(), word, now),
            *(length_s * QUEUED_SHARE, length_s * (1 - QUEUED_SHARE)),
        )
        with self._state.transaction() as db:
            response.insert(db, made)
            protocol.sell(self._state, made.id, digest, prompt, PRICE_USD)
            if body.get("background"):
                self._endpoints.schedule(request, made.id, "response", made.ends_at)
        if not body.get("background"):
            request[DELIVERY] = word if word in DELIVERED else ""
            await asyncio.sleep(length_s)
        elif word == "reset":
            request[DELIVERY] = word
        return protocol.answered(_shown(made, time.time()))

    async def get(self, request: web.Request) -> web.Response:
        found, now = self._found(request), time.time()
        if found.status(now) == "completed":
            request[DELIVERY] = found.fate
            if found.fate == "expire":
                response.remove(self._state.db, found.id, now)
        return protocol.answered(_shown(found, now))

    async def cancel(self, request: web.Request) -> web.Response:
        found, now = self._found(request), time.time()
        if not found.asked.get("background"):
            raise ApiError(400, "Only responses created with background=true can be cancelled.")
        if now < found.ends_at:
            response.cancel(self._state.db, found.id, now)
            self._state.webhooks.hasten(found.id)
        return protocol.answered(_shown(self._found(request), now))

    async def delete(self, request: web.Request) -> web.Response:
        found = self._found(request)
        response.remove(self._state.db, found.id, time.time())
        return protocol.answered({"id": found.id, "object": "response", "deleted": True})

    def event(self, id: str) -> str | None:
        """What can be told of one by now: response.completed."""
        found = response.get(self._state.db, id)
        return None if found is None else f"response.{_shown(found, time.time())['status']}"

    def _found(self, request: web.Request) -> Response:
        id = request.match_info["id"]
        found = response.get(self._state.db, id)
        if found is None:
            raise ApiError(404, f"Response with id '{id}' not found.")
        return found


def _checked(body: Mapping[str, Any]) -> str:
    """The input's words."""
    protocol.check_text("model", body.get("model"), MAX_CHARS)
    prompt = protocol.check_text("input", _prompt(body), MAX_CHARS)
    if body.get("stream"):
        raise invalid("stream", "The sandbox does not stream responses.")
    if body.get("background") and body.get("store") is False:
        raise invalid("store", "Background mode requires store=true.")
    schema_of((body.get("text") or {}).get("format"), "text.format")
    return prompt


def _prompt(body: Mapping[str, Any]) -> str:
    given = body.get("input")
    if isinstance(given, list):
        return "\n\n".join(spoken(each.get("content")) for each in given if isinstance(each, dict))
    return given if isinstance(given, str) else ""


def _shown(row: Response, now: float) -> dict[str, Any]:
    """The response as the API shows it at `now` (unix seconds)."""
    asked, status = row.asked, row.status(now)
    shown: dict[str, Any] = {
        "id": row.id, "object": "response", "created_at": int(row.created_at), "status": status,
        "background": bool(asked.get("background")), "error": _error(row) if status == "failed" else None,
        "incomplete_details": None, "instructions": asked.get("instructions"), "model": asked["model"], "output": [],
        "metadata": asked.get("metadata") or {}, "store": asked.get("store", True), "usage": None,
    }  # fmt: skip
    if status != "completed":
        return shown
    schema = schema_of((asked.get("text") or {}).get("format"), "text.format")
    instructions, limit = asked.get("instructions") or "", asked.get("max_output_tokens")
    written = extraction.write(instructions, _prompt(asked), schema, limit)
    part = {"type": "output_text", "text": written.text, "annotations": []}
    message = {"type": "message", "id": f"msg_{row.id[5:]}", "status": "completed", "role": "assistant"}
    heard, spent = written.input_tokens, written.output_tokens
    usage = {"input_tokens": heard, "output_tokens": spent, "total_tokens": heard + spent}
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}} if written.cut else {}
    return shown | {"output": [message | {"content": [part]}], "usage": usage} | cut


def _error(row: Response) -> dict[str, str]:
    if row.fate == "moderation":
        return {"code": "invalid_prompt", "message": "The input was flagged by our safety system."}
    return {"code": "invalid_prompt", "message": "The input asked to fail with [fail]."}
