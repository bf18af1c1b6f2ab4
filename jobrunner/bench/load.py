"""Sends HTTP requests over many connections, each waiting for its answer.

It does less than a client library would, so that the server is what is measured.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from typing import cast
from urllib.parse import urlsplit

from jobrunner.errors import Unavailable

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_ACCEPTED = b"HTTP/1.1 202 "


class _Connection(asyncio.Protocol):
    """Takes from `requests` until none is left; `took_s` gets how long each was under way."""

    def __init__(self, requests: Iterator[bytes], took_s: list[float]) -> None:
        self._requests = requests
        self._took_s = took_s
        self._buffer = b""
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
        self._took_s.append(time.perf_counter() - self._sent)
        if not head.startswith(_ACCEPTED):
            self._end(Unavailable(f"The API answered {self._buffer[:300]!r}"))
            return
        self._buffer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(Unavailable(f"The API hung up ({exc})."))

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._end(None)
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def _end(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None) if error is None else self.over.set_exception(error)
            self._transport.close()


async def post(base_url: str, path: str, bodies: Iterator[bytes], *, connections: int) -> list[float]:
    """How many seconds each took to be accepted (202). Raises Unavailable for any other answer."""
    host, port = cast("str", urlsplit(base_url).hostname), cast("int", urlsplit(base_url).port)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nContent-Length: "
    requests = (f"{head}{len(body)}".encode() + _HEAD_END + body for body in bodies)
    took_s = list[float]()
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: _Connection(requests, took_s), host, port) for _ in range(connections)]
    await asyncio.gather(*(connection.over for _, connection in made))
    return took_s
