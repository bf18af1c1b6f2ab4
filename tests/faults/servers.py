"""Postgres and Valkey that a test may kill and start again: `python -m tests.faults.servers DIRECTORY`.

They live as long as that process. It prints where they are, and starts again whichever its stdin names, a line each.
"""

import asyncio
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import redis

from jobrunner import embedded
from tests.conftest import ROOT

Name = Literal["postgres", "redis"]

_DEATH_S = 30.0


@dataclass(frozen=True)
class Mortals:
    """Both servers, by their Unix sockets' URLs."""

    directory: Path
    database_url: str
    redis_url: str
    _process: subprocess.Popen[str]

    @asynccontextmanager
    async def killed(self, name: Name, number: signal.Signals = signal.SIGKILL) -> AsyncIterator[None]:
        """Dead while the block runs. SIGQUIT is Postgres' own word for `pg_ctl stop -m immediate`."""
        pid = self._pid(name)
        ended = os.pidfd_open(pid)
        os.kill(pid, number)
        death = select.poll()  # `select` knows no descriptors above 1,023, and chaos has thousands
        death.register(ended, select.POLLIN)
        dead = await asyncio.to_thread(death.poll, _DEATH_S * 1000)
        os.close(ended)
        assert dead, f"{name} still runs, and its children answer"
        try:
            yield
        finally:
            await asyncio.to_thread(self._start, name)

    @asynccontextmanager
    async def stopped(self, name: Name) -> AsyncIterator[None]:
        """Still while the block runs: it takes connections, and answers nothing."""
        pid = self._pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _pid(self, name: Name) -> int:
        if name == "postgres":
            return int((self.directory / "postgres/cluster/postmaster.pid").read_text().split()[0])
        with redis.Redis.from_url(self.redis_url) as client:
            return int(client.info("server")["process_id"])

    def forget(self) -> None:
        """What Redis kept on disk is gone."""
        shutil.rmtree(self.directory / "redis")

    def _start(self, name: Name) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(name, file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == f"{name}\n"


@contextmanager
def serving(directory: Path) -> Iterator[Mortals]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.servers", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    try:
        yield Mortals(directory, **json.loads(process.stdout.readline()), _process=process)
    finally:
        process.communicate(timeout=30)


async def main(directory: Path) -> None:
    programs = embedded._find_programs()
    directory, lock = embedded._open(directory)
    async with AsyncExitStack() as stack:
        sockets = stack.enter_context(embedded._socket_dir(directory))
        makes = {"redis": embedded._valkey, "postgres": embedded._postgres}
        lives: dict[str, AsyncExitStack] = {}
        urls: dict[str, str] = {}

        async def start(name: str) -> None:
            if name in lives:
                await lives[name].aclose()
            lives[name] = await stack.enter_async_context(AsyncExitStack())
            urls[name] = await lives[name].enter_async_context(makes[name](programs, directory, sockets, lock))

        for name in makes:
            await start(name)
        _say(json.dumps({"database_url": urls["postgres"], "redis_url": urls["redis"]}))
        while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
            await start(name)
            _say(name)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
