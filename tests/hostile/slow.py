"""Clients that send a byte a second, 500 at once; and, as a program, what they cost an honest client.

`python -m tests.hostile.slow` starts an API and asks it for jobs, first alone, then beside
the 500; it prints both p99 and ends with 1 where the second is more than twice the first.
"""

import asyncio
import sys
import tempfile
import time
from asyncio import StreamReader, StreamWriter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from yarl import URL

from tests.processes import Jobrunner

CLIENTS = 500
ASKED = 400
WORST = 2.0
_HEAD = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n"


@dataclass(slots=True)
class Slow:
    reader: StreamReader
    writer: StreamWriter

    async def drip(self) -> None:
        self.writer.write(b" ")
        await self.writer.drain()

    @property
    def answered(self) -> bool:
        return self.reader.at_eof() or bool(self.reader._buffer)  # type: ignore[attr-defined]

    async def status(self) -> int:
        """Of the answer, once it comes."""
        return int((await self.reader.readline()).split()[1])


async def opened_slowly(url: str, clients: int, stack: AsyncExitStack) -> list[Slow]:
    """So many, each with the head of a request sent, and closed with `stack`."""
    at = URL(url)
    made = []
    for _ in range(clients):
        reader, writer = await asyncio.open_connection(at.host, at.port)
        stack.callback(writer.close)
        writer.write(_HEAD)
        made.append(Slow(reader, writer))
    return made


async def p99_s(http: aiohttp.ClientSession) -> float:
    """Of an honest client that asks once every 10 ms."""
    took = []
    for _ in range(ASKED):
        begun = time.perf_counter()
        async with http.get("/v1/jobs") as answer:
            await answer.read()
        took.append(time.perf_counter() - begun)
        await asyncio.sleep(0.01)
    return sorted(took)[ASKED * 99 // 100]


async def measure(url: str) -> float:
    """How many times as long an honest client waits beside the slow ones."""
    async with aiohttp.ClientSession(url) as http, AsyncExitStack() as stack:
        await p99_s(http)  # warm
        alone_s = await p99_s(http)
        slow = await opened_slowly(url, CLIENTS, stack)
        dripping = asyncio.create_task(_drip(slow))
        beside_s = await p99_s(http)
        dripping.cancel()
        with suppress(asyncio.CancelledError):
            await dripping
    sys.stdout.write(
        f"p99 alone {alone_s * 1000:.1f} ms, beside {CLIENTS} slow clients {beside_s * 1000:.1f} ms: "
        f"{beside_s / alone_s:.2f} x\n"
    )
    return beside_s / alone_s


async def _drip(slow: list[Slow]) -> None:
    """A byte a second each, spread over the second."""
    while True:
        for each in slow:
            await each.drip()
            await asyncio.sleep(1 / len(slow))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="jobrunner-slow-") as directory:
        apart = Jobrunner(Path(directory, "data"))
        with apart.start("services", "--json") as services:
            services.ready()
            with apart.start("serve", "--port", "0", "--json") as serve:
                times = asyncio.run(measure(serve.ready()["api"]))
    sys.exit(times > WORST)
