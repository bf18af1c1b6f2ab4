"""The worker's side of `ward`: the process that forks its wards, started when the first is needed."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from jobrunner.embedded.launch import Tied
from jobrunner.settings import Settings, revealed

_CONNECTIONS = 2
"""To Postgres, for each ward: after a crash there are many, and the healthy workers need theirs."""


@dataclass(frozen=True, slots=True)
class Newborn:
    """`ended` will tell its exit code, negative for a signal; None where nobody knows: then it drains by itself."""

    pid: int
    ended: asyncio.Future[int | None]


class Nursery:
    """Its process ends with ours, and its wards drain when it does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: Process | None = None
        self._starting = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None
        self._births: dict[UUID, asyncio.Future[int]] = {}
        self._ends: dict[UUID, asyncio.Future[int | None]] = {}

    async def bear(self, worker: UUID, suspicion: int) -> Newborn:
        """Start a ward. Raises OSError or SubprocessError where that cannot be done."""
        async with self._starting:
            if self._process is None:
                self._process = await self._start()
                self._listening = asyncio.create_task(self._listen(self._process), name="nursery")
        loop = asyncio.get_running_loop()
        birth, end = loop.create_future(), loop.create_future()
        self._births[worker], self._ends[worker] = birth, end
        self._say({"run": worker, "suspicion": suspicion})
        return Newborn(await birth, end)

    def end(self, worker: UUID) -> None:
        """Let it drain; called again: at once."""
        self._say({"end": worker})

    async def close(self) -> None:
        """Whoever still lives drains by itself."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        if self._listening is not None:
            await self._listening

    async def _start(self) -> Process:
        """Settings travel through its stdin: they hold secrets, and this process may have got its own from anywhere."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "jobrunner.worker.ward"),
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,  # Ctrl-C is for us: we let the wards drain
            preexec_fn=Tied(signal.SIGTERM),
        )
        _write(process, {**revealed(self._settings), "database_pool_size": _CONNECTIONS})
        return process

    def _say(self, order: dict[str, Any]) -> None:
        if self._process is not None:
            _write(self._process, order)

    async def _listen(self, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101  # a pipe was asked for
        async for line in process.stdout:
            told = orjson.loads(line)
            worker = UUID(told["worker"])
            if "pid" in told:
                _tell(self._births.pop(worker), told["pid"])
            else:
                _tell(self._ends.pop(worker), told["code"])
        self._process = None
        code = await process.wait()
        for birth in self._births.values():
            if not birth.done():
                birth.set_exception(ChildProcessError(f"the process that forks wards ended with {code}"))
        for end in self._ends.values():
            _tell(end, None)
        self._births.clear()
        self._ends.clear()


def _write(process: Process, said: dict[str, Any]) -> None:
    assert process.stdin is not None  # noqa: S101  # a pipe was asked for
    process.stdin.write(orjson.dumps(said) + b"\n")


def _tell(who_waits: asyncio.Future[Any], what: object) -> None:
    with suppress(asyncio.InvalidStateError):  # its waiter was cancelled
        who_waits.set_result(what)
