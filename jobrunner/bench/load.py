"""Sends HTTP requests over many connections, each waiting for its answer.

It does less than a client library would, so that the server is what is measured.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from jobrunner.errors import Unavailable

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_LATER = re.compile(rb"HTTP/1\.1 503 .*\r\nretry-after: (\d+)\r\n", re.IGNORECASE | re.DOTALL)
_HEAD_END = b"\r\n\r\n"
_ACCEPTED = b"HTTP/1.1 202 "


@dataclass(slots=True)
class Taken:
    """`took_s`: how long each request was under way until it was accepted. `shed`: how often the answer was "later"."""

    took_s: list[float] = field(default_factory=list)
    shed: int = 0
    wall_s: float = 0.0


class _Connection(asyncio.Protocol):
    """Takes from `requests` until none is left."""

    def __init__(self, requests: Iterator[bytes], taken: Taken) -> None:
        self._requests = requests
        self._taken = taken
        self._request = self._buffer = b""
        self._sent = 0.0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(_HEAD_END)
        length = _LENGTH.search(head + b"\r\n")
        if not found or length is None or len(body) < int(length[1]):
            return
        answer, self._buffer = self._buffer, b""
        if head.startswith(_ACCEPTED):
            self._taken.took_s.append(time.perf_counter() - self._sent)
            self._next()
        elif later := _LATER.match(head + b"\r\n"):
            self._taken.shed += 1
            asyncio.get_running_loop().call_later(int(later[1]), self._transport.write, self._request)
        else:
            self._end(Unavailable(f"The API answered {answer[:300]!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(Unavailable(f"The API hung up ({exc})."))

    def _next(self) -> None:
        self._request = next(self._requests, b"")
        if not self._request:
            self._end(None)
            return
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def _end(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None) if error is None else self.over.set_exception(error)
            self._transport.close()


async def post(base_url: str, path: str, bodies: Iterator[bytes], *, connections: int) -> Taken:
    """Send until all are accepted (202), after a 503 as late as it asks. Raises Unavailable for any other answer."""
    host, port = cast("str", urlsplit(base_url).hostname), cast("int", urlsplit(base_url).port)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nContent-Length: "
    requests = (f"{head}{len(body)}".encode() + _HEAD_END + body for body in bodies)
    taken, begun = Taken(), time.monotonic()
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: _Connection(requests, taken), host, port) for _ in range(connections)]
    await asyncio.gather(*(connection.over for _, connection in made))
    taken.wall_s = time.monotonic() - begun
    return taken
