"""The API to talk to: one that runs on the data directory, or a `jobrunner up` of our own that ends with us."""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from jobrunner import embedded
from jobrunner.errors import Unavailable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STOP_S = 20.0
"""More than a worker's drain and the servers' end take."""

_LOG_LINES = 5


@dataclass(frozen=True, slots=True)
class Api:
    """`pid` is the process that serves; `ours`: it ends with the demo; `sandboxed`: some provider has no API key."""

    base_url: str
    database_url: str
    pid: int
    ours: bool
    sandboxed: bool


@asynccontextmanager
async def reachable(data_dir: Path, log: Path) -> AsyncIterator[Api]:
    """Raises Unavailable with what `jobrunner up` said, if it cannot start. Its log lines go to `log`."""
    run = embedded.find(data_dir)
    if run is not None and run.api_url is not None:
        yield Api(run.api_url, run.database_url, run.pid, ours=False, sandboxed=run.sandbox_url is not None)
        return
    with log.open("wb") as lines:
        command = (sys.executable, "-m", "jobrunner", "up", "--port", "0", "--json", "--data-dir", data_dir)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=lines,
            start_new_session=True,  # Ctrl-C is for us; we stop it when we have tidied up
            preexec_fn=_die_with_parent(),
        )
    try:
        yield await _ready(process, log)
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process, log: Path) -> Api:
    assert process.stdout is not None  # noqa: S101  # it is a pipe
    line = await process.stdout.readline()
    if not line:
        code = await process.wait()
        raise Unavailable(f"`jobrunner up` ended with {code} while it started:\n{_end_of(log)}")
    ready = json.loads(line)
    return Api(ready["api"], ready["database_url"], process.pid, ours=True, sandboxed=ready["sandbox"] is not None)


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM drains: it hands running jobs back and stops its servers."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _die_with_parent() -> Callable[[], None]:
    """For the child, before exec: the kernel sends it SIGTERM when we end, also by kill -9. Linux only."""
    libc = ctypes.CDLL(None)  # loaded before the fork: loading takes locks
    parent = os.getpid()

    def tie() -> None:
        if sys.platform == "linux":
            libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)  # the parent died before the kernel knew whom to tell

    return tie
