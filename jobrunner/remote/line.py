"""The way to one API: asks, repeats what may be repeated, and makes an exception of every other end."""

import asyncio
import io
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import aiohttp

from jobrunner.errors import ApiError, JobrunnerError, LimitReached, PermanentError, Unavailable
from jobrunner.job import Backoff
from jobrunner.net import CONNECT_S, SILENCE_S, retry_after_s
from jobrunner.remote.problems import beginning, error_of, limit_of, read_object, read_problem, unreadable

T = TypeVar("T")

ANSWER_S = 30.0
"""How long a try may take, from its beginning to the answer's end."""

ANSWER_BYTES = 64 * 1024 * 1024
"""The largest answer in JSON that is held in memory: a page of jobs with large params."""

JSON: Final[Mapping[str, str]] = {"Content-Type": "application/json"}

_PROBLEM_BYTES = 1024 * 1024
_PAUSES = Backoff(first_s=0.25, cap_s=5.0)
_TOO_MANY = 429
_AWAY = frozenset({408, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `safe`: it may be sent again although an answer was lost. `if_lost`: what to do if none came.

    `longer_s`: how much longer than ANSWER_S it may take; None, for files, bounds only how long nothing arrives.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    longer_s: float | None = 0.0
    safe: bool = False
    if_lost: str = "Try again later."


class Trouble(Exception):
    """A try without an answer that counts. `undone`: the server surely did nothing, so any request may come again.

    `made` is what becomes of it once nobody tries any more.
    """

    def __init__(
        self,
        words: str,
        *,
        undone: bool,
        made: type[Unavailable] | type[LimitReached] = Unavailable,
        after_s: float | None = None,
    ) -> None:
        super().__init__(words)
        self.undone = undone
        self.made = made
        self.after_s = after_s


class Line:
    """`patience_s`: for so long after the first trouble a request is repeated."""

    def __init__(self, session: aiohttp.ClientSession, url: str, patience_s: float) -> None:
        self._session = session
        self._url = url
        self._patience_s = patience_s

    async def ask(self, ask: Ask) -> dict[str, Any]:
        """The JSON object of a good answer. Raises what the API says is wrong, Unavailable, ApiError."""
        return await self.read(ask, read_json)

    async def read(self, ask: Ask, reader: Callable[[aiohttp.ClientResponse], Awaitable[T]]) -> T:
        """What `reader` makes of a good (2xx) answer; it begins anew with each try, and may raise Trouble itself."""
        began: float | None = None
        for tries in count(1):
            try:
                async with self._tried(ask) as answer:
                    return await reader(answer)
            except Trouble as trouble:
                began = time.monotonic() if began is None else began
                await self._bear(ask, trouble, tries, began)
        raise AssertionError("count() does not end")

    async def follow(
        self, ask: Callable[[], Ask], reader: Callable[[aiohttp.ClientResponse], AsyncIterator[T]]
    ) -> AsyncIterator[T]:
        """What `reader` makes of a stream, and of the next one where that ends. Patience begins anew with each item."""
        tries, began = 0, time.monotonic()
        while True:
            trouble = Trouble(f"{self._url} ended the stream.", undone=True)
            try:
                async with self._tried(ask()) as answer:
                    async for item in reader(answer):
                        tries = 0
                        yield item
            except Trouble as met:
                trouble = met
            tries += 1
            began = time.monotonic() if tries == 1 else began
            await self._bear(ask(), trouble, tries, began)

    async def _bear(self, ask: Ask, trouble: Trouble, tries: int, began: float) -> None:
        """Wait a while; raise what the trouble comes to where that would be too long."""
        backoff_s = _PAUSES.delay_s(tries, random.random())  # noqa: S311  # spreads load, guards nothing
        pause_s = max(backoff_s, trouble.after_s or 0.0)
        again = ask.safe or trouble.undone
        if not again or time.monotonic() - began + pause_s > self._patience_s:
            raise self._given_up(ask, trouble, tries, pause_s) from trouble.__cause__
        await asyncio.sleep(pause_s)

    @asynccontextmanager
    async def _tried(self, ask: Ask) -> AsyncIterator[aiohttp.ClientResponse]:
        """Raises Trouble, and the API's errors."""
        try:
            async with _opened(ask.body) as data, self._sent(ask, data) as answer:
                if not answer.ok:
                    raise await _refusal(answer)
                yield answer
        except aiohttp.ClientSSLError as error:
            message = f"{self._url} does not prove that it is who it says: {error}. SSL_CERT_FILE names whom to trust."
            raise ApiError(message, code="tls_failed") from error
        except aiohttp.ClientConnectorError as error:
            words = f"{self._url} cannot be reached ({error.os_error}): is the server up, and the address right?"
            raise Trouble(words, undone=True) from error
        except TimeoutError as error:
            raise Trouble(f"{self._url} gave no answer in time.", undone=False) from error
        except aiohttp.ClientError as error:
            words = f"{self._url} broke the connection off: {error or type(error).__name__}."
            raise Trouble(words, undone=False) from error
        except PermanentError as error:
            if error.code != "provider_redirects":
                raise
            message = f"{self._url} redirects elsewhere; give JobRunner the address that it leads to as `url`."
            raise ApiError(message, code="answer_unreadable") from error

    def _sent(self, ask: Ask, data: BinaryIO | None) -> Any:
        if ask.longer_s is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        else:
            timeout = aiohttp.ClientTimeout(total=ANSWER_S + ask.longer_s, sock_connect=CONNECT_S)
        return self._session.request(
            ask.method, ask.path, params=ask.query, data=data, headers=ask.headers, timeout=timeout
        )

    def _given_up(self, ask: Ask, trouble: Trouble, tries: int, pause_s: float) -> JobrunnerError:
        asks = "" if trouble.after_s is None else f" It asks to come again in {trouble.after_s:g} s."
        tried = f"{ask.method} /{ask.path} was tried {'once' if tries == 1 else f'{tries} times'}."
        remedy = "Nothing was done: try again later." if trouble.undone else ask.if_lost
        return trouble.made(f"{trouble}{asks} {tried} {remedy}", retry_after_s=pause_s)


@asynccontextmanager
async def _opened(body: bytes | Path | None) -> AsyncIterator[BinaryIO | None]:
    """As a file, which aiohttp reads block by block."""
    if isinstance(body, Path):
        with await asyncio.to_thread(body.open, "rb") as file:
            yield file
    else:
        yield None if body is None else io.BytesIO(body)


async def _refusal(answer: aiohttp.ClientResponse) -> Exception:
    """What an error answer means: Trouble where it says "later", else the error that it names."""
    status, after_s = answer.status, retry_after_s(answer.headers)
    raw = await _read(answer, _PROBLEM_BYTES)
    problem = read_problem(raw)
    words = f"HTTP {status}, and {beginning(raw)}." if problem is None else problem.detail
    if status == _TOO_MANY:
        return Trouble(words, undone=True, made=limit_of(problem), after_s=after_s)
    if status in _AWAY:
        return Trouble(words, undone=False, after_s=after_s)
    return unreadable(f"The answer is {words}", status) if problem is None else error_of(problem)


async def read_json(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    return read_object(await _read(answer, ANSWER_BYTES), answer.status)


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Raises ApiError `answer_unreadable` past `max_bytes`."""
    raw = bytearray()
    async for chunk in answer.content.iter_any():
        raw += chunk
        if len(raw) > max_bytes:
            raise unreadable(f"The answer (HTTP {answer.status}) is larger than {max_bytes:,} bytes.", answer.status)
    return bytes(raw)
