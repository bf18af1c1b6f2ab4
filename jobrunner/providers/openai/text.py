"""Words: POST /responses in background mode, or POST /chat/completions (OpenAI API reference, Responses and Chat).

Background responses are the only text with a handle, so they are what a route's plain model name means:
`openai:gpt-5.4-mini`. Many servers that speak the same know chat completions only: `openai:chat/MODEL` asks those, in
one long request that is lost if its answer is.
"""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from jobrunner.errors import AttemptError, PermanentError
from jobrunner.providers.answers import BadAnswer, Line, judged, read_object
from jobrunner.providers.driver import CancelAnswer, Desk, Failed, Finished, Poll, Running
from jobrunner.providers.openai.reading import raise_hidden, tokens
from jobrunner.providers.openai.schemas import strict
from jobrunner.request import TextRequest
from jobrunner.work import Handle, Plan

RESPONSES = "responses"
CHAT = "chat/completions"
CHAT_PREFIX = "chat/"
ID_PREFIX = "resp_"
KEPT = ("id", "model", "created_at", "created", "usage")
ENDED = frozenset({"completed", "failed", "incomplete"})
UNDER_WAY = frozenset({"queued", "in_progress"})

_ID = re.compile(ID_PREFIX + r"[A-Za-z0-9_-]{1,200}")


def writing(model: str, request: TextRequest) -> Plan:
    if model.startswith(CHAT_PREFIX):
        return _chat_plan(model, request)
    body: dict[str, Any] = {"model": model, "instructions": request.instructions, "input": request.prompt}
    body |= {"background": True, "store": True}
    if request.max_tokens is not None:
        body["max_output_tokens"] = request.max_tokens
    if request.schema is not None:
        body["text"] = {"format": {"type": "json_schema", **_format(request.schema)}}
    return Plan("openai", model, RESPONSES, body)


def _chat_plan(model: str, request: TextRequest) -> Plan:
    messages = [{"role": "system", "content": request.instructions}, {"role": "user", "content": request.prompt}]
    body: dict[str, Any] = {"model": model.removeprefix(CHAT_PREFIX), "messages": messages}
    if request.max_tokens is not None:
        body["max_completion_tokens"] = request.max_tokens
    if request.schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": _format(request.schema)}
    return Plan("openai", model, CHAT, body)


def _format(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": "answer", "strict": True, "schema": strict(schema)}


# ---- background responses ----------------------------------------------------------------------


async def respond(line: Line, plan: Plan, desk: Desk) -> Handle:  # noqa: ARG001  # nothing arrives in the answer
    async with line.open("POST", plan.endpoint, body=dict(plan.body), create=True) as answer:
        response = await read_object(answer)
        raise_hidden(response if "id" not in response else {}, answer.headers.get("x-request-id"))
        if _ID.fullmatch(str(response.get("id"))) is None:
            raise BadAnswer("a response without a usable id")
        created = response.get("created_at")
        at = float(created) if isinstance(created, (int, float)) else time.time()
        return Handle("openai", response["id"], submitted_at=at)


async def poll(line: Line, handle: Handle) -> Poll:
    try:
        response = await line.ask("GET", f"{RESPONSES}/{handle.id}")
    except PermanentError as error:
        if error.code != "provider_not_found":
            raise
        return Failed(_ended(handle.id, "is unknown to openai, or deleted", "artifact_expired"))
    status = str(response.get("status"))[:50]
    if status == "completed":
        return _completed(response, handle)
    if status == "failed":
        said = response.get("error")
        said = said if isinstance(said, Mapping) else {}
        return Failed(judged("openai", said.get("message") or "", said.get("code")))
    if status == "cancelled":
        return Failed(_ended(handle.id, "was cancelled at openai", "provider_cancelled"))
    if status == "incomplete":
        details = response.get("incomplete_details")
        return Failed(_incomplete(handle.id, details.get("reason") if isinstance(details, Mapping) else None))
    line.wonder(status, UNDER_WAY)
    return Running()


async def cancel(line: Line, handle: Handle) -> CancelAnswer:
    try:
        response = await line.ask("POST", f"{RESPONSES}/{handle.id}/cancel")
    except AttemptError:
        return "unknown"
    return "too_late" if response.get("status") in ENDED else "cancelled"


def _completed(response: Mapping[str, Any], handle: Handle) -> Poll:
    parts = list(_parts(response.get("output")))
    refusals = [str(part["refusal"]) for part in parts if part.get("refusal")]
    if refusals:
        return Failed(_refused(refusals[0]))
    words = "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    if not words:
        return Failed(_ended(handle.id, "was completed without any text", "provider_no_output"))
    return _finished(response, words)


def _parts(output: Any) -> Iterator[Mapping[str, Any]]:
    """The contents of the messages in a response's output, which holds reasoning and tool calls beside them."""
    for item in output if isinstance(output, list) else ():
        if isinstance(item, Mapping) and item.get("type") == "message":
            yield from (part for part in item.get("content") or () if isinstance(part, Mapping))


# ---- chat completions --------------------------------------------------------------------------


async def chat(line: Line, plan: Plan, desk: Desk) -> Finished:  # noqa: ARG001  # words need no desk
    async with line.open("POST", plan.endpoint, body=dict(plan.body), create=True) as answer:
        completion = await read_object(answer)
        raise_hidden(completion, answer.headers.get("x-request-id"))
        choices = completion.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, Mapping) else None
        if choice is None or not isinstance(message, Mapping):
            raise BadAnswer("a completion without a message")
        if message.get("refusal"):
            raise _refused(str(message["refusal"]))
        if choice.get("finish_reason") in ("content_filter", "length"):
            raise _incomplete(str(completion.get("id")), choice["finish_reason"])
        if not isinstance(message.get("content"), str) or not message["content"]:
            raise BadAnswer("a completion without text")
        return _finished(completion, message["content"])


# ---- what both say -----------------------------------------------------------------------------


def _finished(answer: Mapping[str, Any], words: str) -> Finished:
    meta = {key: answer[key] for key in KEPT if answer.get(key) is not None}
    return Finished((), meta, tokens(answer.get("usage")), words)


def _refused(words: str) -> PermanentError:
    message = f"openai's model refuses to answer: {words[:500]}"
    return PermanentError(message, code="content_policy", provider="openai", provider_code="refusal")


def _incomplete(id: str, reason: Any) -> PermanentError:
    if reason == "content_filter":
        return _ended(id, "was stopped by openai's content filter", "content_policy")
    return _ended(id, f"broke off ({reason}); ask for less, or allow more tokens", "provider_truncated")


def _ended(id: str, how: str, code: str) -> PermanentError:
    return PermanentError(f"Response {id} {how}.", code=code, provider="openai")
