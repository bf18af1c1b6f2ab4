"""POST /chat/completions: one request, answered whole or as server-sent events. Not spoken: tools, several choices."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from jobrunner.sandbox import ledger
from jobrunner.sandbox.faults import DELIVERED, DELIVERY, SLOW_S
from jobrunner.sandbox.openai import extraction, protocol
from jobrunner.sandbox.openai.extraction import Written
from jobrunner.sandbox.openai.formats import schema_of, spoken
from jobrunner.sandbox.openai.protocol import REQUEST_ID, invalid
from jobrunner.sandbox.state import State

WRITE_S: Final = 0.5
MAX_CHARS: Final = 1_000_000
PRICE_USD: Final = 0.0002
PIECE_CHARS: Final = 24
KNOWN: Final = frozenset(
    {
        *("model", "messages", "max_completion_tokens", "max_tokens", "temperature", "top_p", "response_format"),
        *("stream", "stream_options", "seed", "reasoning_effort", "service_tier", "store", "metadata", "n", "user"),
    }
)


class Chat:
    def __init__(self, state: State) -> None:
        self._state = state

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await protocol.read_json(request, KNOWN)
        instructions, prompt = _said(body.get("messages"))
        protocol.check_text("messages", prompt, MAX_CHARS)
        protocol.check_text("model", body.get("model"), MAX_CHARS)
        schema = schema_of(body.get("response_format"), "response_format")
        digest = ledger.body_sha256(body)
        word = protocol.fate_of(self._state, request, prompt, digest)
        if word in ("moderation", "fail"):
            raise protocol.rejected(word)
        protocol.sell(self._state, request[REQUEST_ID], digest, prompt, PRICE_USD)
        if word in DELIVERED:
            request[DELIVERY] = word
        await asyncio.sleep((SLOW_S if word == "slow" else WRITE_S) / self._state.speed)
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        written = extraction.write(instructions, prompt, schema, limit)
        head = {"id": f"chatcmpl-{digest[:24]}", "created": int(time.time()), "model": body["model"]}
        if not body.get("stream"):
            return protocol.answered(_completion(head, written))
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return await _streamed(request, head, written, include_usage=usage)


def _said(messages: Any) -> tuple[str, str]:
    """(what the system says, what the user says)."""
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise invalid("messages", "Missing required parameter: 'messages'.", code="missing_required_parameter")
    user = [spoken(each.get("content")) for each in messages if each.get("role") == "user"]
    rest = [spoken(each.get("content")) for each in messages if each.get("role") != "user"]
    return "\n".join(rest), "\n\n".join(user)


def _usage(written: Written) -> dict[str, int]:
    heard, made = written.input_tokens, written.output_tokens
    return {"prompt_tokens": heard, "completion_tokens": made, "total_tokens": heard + made}


def _completion(head: Mapping[str, Any], written: Written) -> dict[str, Any]:
    message = {"role": "assistant", "content": written.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(written)}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(written)}


def _reason(written: Written) -> str:
    return "length" if written.cut else "stop"


async def _streamed(
    request: web.Request, head: Mapping[str, Any], written: Written, *, include_usage: bool
) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await answer.prepare(request)
    for chunk in _chunks(head, written, include_usage=include_usage):
        await answer.write(b"data: " + orjson.dumps(chunk) + b"\n\n")
    await answer.write(b"data: [DONE]\n\n")
    return answer


def _chunks(head: Mapping[str, Any], written: Written, *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """Pieces of the text, then the reason, then (where it was asked for) the usage without a choice."""
    frame = {**head, "object": "chat.completion.chunk"} | ({"usage": None} if include_usage else {})
    pieces = [written.text[at : at + PIECE_CHARS] for at in range(0, len(written.text), PIECE_CHARS)]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces)]
    for delta in deltas:
        yield {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": _reason(written)}]}
    if include_usage:
        yield {**frame, "choices": [], "usage": _usage(written)}
