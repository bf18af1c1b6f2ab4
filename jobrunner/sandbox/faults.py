"""Faults on demand: what a test, or a person who tries jobrunner out, can make the sandbox do wrong.

Three ways to ask, one set of words:

- a bracketed word in the prompt, `a cat [fail]`, works through any unmodified client and is about the *work*; where
  there is only a file to tell (lipsync), the word may stand among the sound's own tags, such as its title;
- the request header `X-Sandbox-Fault: 503` is about that one *exchange*, be it a create, a poll or a file;
- a rule, `POST /admin/faults {"fail": "reset", "provider": "replicate", "on": "poll", "count": 2}`, is about the
  exchanges it matches, until it has been used `count` times or `DELETE /admin/faults` clears all rules.

| word | exchange | work that can be polled |
|---|---|---|
| 429, 500, 503 | refused, nothing is billed | in a prompt: the first two tries of that same body are refused |
| quota | refused for want of money | refused |
| moderation, fail | the create is refused for good | billed, ends `failed` (for `moderation` as flagged content) |
| slow | takes 30 s | takes 30 s |
| hang | accepted and billed, never answered | is never done |
| reset | accepted and billed, then the connection is reset without an answer | the create's answer is lost so |
| truncate, wrong_type, slow_drip | the answer is cut short, an HTML page, or dripped over 30 s | the file or text is |
| expire | the file is gone, and its prediction then says so | so is its file; words can be read once |
| stuck, drop, reorg | only on the chain, whose prompt is the calldata | see `jobrunner.sandbox.eth.node` |
"""

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

Exchange = Literal["create", "poll", "list", "cancel", "file"]
Word = Literal[
    "429", "500", "503", "quota", "moderation", "fail", "slow", "hang", "reset", "truncate", "wrong_type",
    "slow_drip", "expire", "stuck", "drop", "reorg",
]  # fmt: skip
WORDS: Final = frozenset(get_args(Word))
REFUSED: Final = frozenset({"429", "500", "503", "quota"})
DELIVERED: Final = frozenset({"hang", "reset", "truncate", "wrong_type", "slow_drip"})
ONLY_ON: Final = {"expire": "file"} | dict.fromkeys(
    ("quota", "moderation", "fail", "slow", "stuck", "drop", "reorg"), "create"
)
SLOW_S: Final = 30.0
TRIES_REFUSED: Final = 2
TAGS_BYTES: Final = 65_536
_BRACKETED: Final = re.compile(r"\[([a-z_0-9]+)\]")
HEADER: Final = "X-Sandbox-Fault"
WORD = web.RequestKey("word", str)
"""The word that the handler itself must act on."""
DELIVERY = web.RequestKey("delivery", str)
"""Set by a handler: what goes wrong with its answer."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Rule(BaseModel):
    """`on` narrows the rule to one kind of request; without `fail` it only adds `latency_s` seconds."""

    model_config = ConfigDict(extra="forbid")

    provider: str | None = None
    on: Exchange | None = None
    latency_s: float = Field(default=0.0, ge=0)
    fail: Word | None = None
    count: int | None = Field(default=None, ge=1)
    retry_after: str | None = "1"

    def matches(self, provider: str, on: Exchange) -> bool:
        wanted = ONLY_ON.get(self.fail or "", self.on or on)
        return self.provider in (None, provider) and self.on in (None, on) and wanted == on


@dataclass(frozen=True, slots=True)
class Fault:
    word: str = ""
    latency_s: float = 0.0
    retry_after: str | None = "1"


class Provider(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def speed(self) -> float: ...

    @property
    def refusals(self) -> Mapping[str, "Refusal"]:
        """The provider's own words for each of REFUSED."""


class Refusal(Protocol):
    def response(self) -> web.Response: ...


def refuse(refusals: Mapping[str, Refusal], word: str, retry_after: str | None = "1") -> web.Response:
    """Answer `word`, one of REFUSED; a 429 says when to come again, unless that is None."""
    response = refusals[word].response()
    if word == "429" and retry_after is not None:
        response.headers["Retry-After"] = retry_after
    return response


class Faults:
    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._tries: dict[tuple[str, str], int] = {}

    def take(self, request: web.Request, provider: str, on: Exchange) -> Fault:
        """The fault for this exchange, used up by one."""
        named = request.headers.get(HEADER, "")
        if named in WORDS and ONLY_ON.get(named, on) == on:
            return Fault(named)
        rule = next((rule for rule in self.rules if rule.matches(provider, on)), None)
        if rule is None:
            return Fault()
        if rule.count is not None:
            rule.count -= 1
            if rule.count == 0:
                self.rules.remove(rule)
        return Fault(rule.fail or "", rule.latency_s, rule.retry_after)

    def refuses(self, word: str, body_sha256: str) -> bool:
        """Whether a word in a prompt refuses this try: quota each time, the others twice and then no more."""
        if word not in REFUSED or word == "quota":
            return word == "quota"
        key = (word, body_sha256)
        self._tries[key] = self._tries.get(key, 0) + 1
        if self._tries[key] <= TRIES_REFUSED:
            return True
        del self._tries[key]
        return False

    def guard(self, provider: Provider, on: Exchange, handler: Handler) -> Handler:
        """`handler` with whatever is to go wrong around it."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            fault = self.take(request, provider.name, on)
            if fault.latency_s:
                await asyncio.sleep(fault.latency_s)
            if fault.word in REFUSED:
                return refuse(provider.refusals, fault.word, fault.retry_after)
            request[WORD] = "" if fault.word in DELIVERED else fault.word
            response = await handler(request)
            word = fault.word if fault.word in DELIVERED else request.get(DELIVERY, "")
            return await _deliver(request, response, word, SLOW_S / provider.speed)

        return guarded


def word_in(prompt: str) -> str:
    """The first known word in brackets, or nothing."""
    return next((word for word in _BRACKETED.findall(prompt) if word in WORDS), "")


def words_of(file: bytes) -> str:
    """The bracketed words among a file's tags, which stand at its beginning or at its end."""
    ends = file if len(file) <= 2 * TAGS_BYTES else file[:TAGS_BYTES] + file[-TAGS_BYTES:]
    return " ".join(f"[{word}]" for word in _BRACKETED.findall(ends.decode("latin-1")) if word in WORDS)


async def _deliver(request: web.Request, response: web.StreamResponse, word: str, drip_s: float) -> web.StreamResponse:
    if not word or not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response
    match word:
        case "hang":
            await asyncio.Event().wait()
        case "wrong_type":
            return web.Response(text="<html><body>Welcome to the proxy.</body></html>", content_type="text/html")
        case "reset":
            _reset(request)
        case "truncate" | "slow_drip":
            return await _piecemeal(request, response, response.body, 0 if word == "truncate" else drip_s)
    return response


def _reset(request: web.Request) -> None:
    transport = request.transport
    if transport is None:
        return
    plug: socket.socket = transport.get_extra_info("socket")
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() then sends RST
    transport.abort()


async def _piecemeal(request: web.Request, whole: web.Response, body: bytes, drip_s: float) -> web.StreamResponse:
    """The same answer in 20 pieces over `drip_s` seconds; at 0 seconds half of it, then the connection closes."""
    answer = web.StreamResponse(status=whole.status, headers=whole.headers)
    answer.content_length = len(body)
    await answer.prepare(request)
    if not drip_s:
        await answer.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return answer
    size = len(body) // 20 + 1
    for start in range(0, len(body), size):
        await asyncio.sleep(drip_s / 20)
        await answer.write(body[start : start + size])
    return answer
