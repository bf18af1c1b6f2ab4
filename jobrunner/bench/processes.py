"""Starts a bench's processes, and reads what they say."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from jobrunner.broker.connection import end_tasks
from jobrunner.embedded.launch import Tied
from jobrunner.errors import Unavailable
from jobrunner.settings import Settings, revealed

_LINE_BYTES = 64 * 2**20
"""The moments of all jobs are one line."""

_LEAVE_S = 15.0


class Child:
    """A process that is ready: `said` is its first line."""

    def __init__(self, process: Process, part: str, said: dict[str, Any]) -> None:
        self._process = process
        self._part = part
        self.said = said

    async def finished(self) -> tuple[int, float]:
        """Of a worker: how many jobs ended with its next batch, and when by CLOCK_MONOTONIC. Raises Unavailable."""
        said = await _line(self._process, self._part)
        return said["finished"], said["at"]

    async def report(self) -> dict[str, Any]:
        """End it. What it counted. Raises Unavailable if it ended without a word."""
        self._process.send_signal(signal.SIGTERM)
        return await _line(self._process, self._part)


async def all_ended(workers: Sequence[Child], jobs: int) -> float:
    """When the last of `jobs` jobs had ended, whichever of these workers ran which. Raises Unavailable."""
    hearing = {asyncio.create_task(each.finished()): each for each in workers}
    last = 0.0
    try:
        while jobs > 0:
            heard, _ = await asyncio.wait(hearing, return_when=asyncio.FIRST_COMPLETED)
            for each in heard:
                worker = hearing.pop(each)
                finished, at = each.result()
                jobs, last = jobs - finished, max(last, at)
                hearing[asyncio.create_task(worker.finished())] = worker
    finally:
        await end_tasks(*hearing)
    return last


@asynccontextmanager
async def started(part: str, settings: Settings, **order: Any) -> AsyncIterator[Child]:
    """Raises Unavailable with what the process had to say, if it cannot start."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jobrunner.bench.child"),
        stdin=PIPE,
        stdout=PIPE,
        limit=_LINE_BYTES,
        start_new_session=True,  # Ctrl-C is for us
        preexec_fn=Tied(signal.SIGTERM),
    )
    try:
        assert process.stdin is not None  # noqa: S101  # a pipe was asked for
        process.stdin.write(orjson.dumps({"part": part, "settings": revealed(settings), **order}))
        process.stdin.write_eof()
        yield Child(process, part, await _line(process, part))
    finally:
        await _end(process)


async def _line(process: Process, part: str) -> dict[str, Any]:
    assert process.stdout is not None  # noqa: S101  # a pipe was asked for
    line = await process.stdout.readline()
    if not line:
        raise Unavailable(f"The bench's {part} ended with {await process.wait()} before its time; see above.")
    said: dict[str, Any] = orjson.loads(line)
    return said


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_LEAVE_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
