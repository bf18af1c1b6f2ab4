"""Runs a program to its end: input on stdin, output from stdout, and never longer than it may, or than the sandbox."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from typing import Final

TIMEOUT_S: Final = 60.0
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


async def run(
    command: Sequence[str], stdin: bytes, *, environ: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
) -> bytes:
    """What `command` writes to stdout. `environ` is added to ours. Raises RuntimeError with the program's last words.

    A cancelled caller ends the program. Call it on the main thread's loop: the kernel ends a child with the
    *thread* that started it.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True,
        env={**os.environ, **(environ or {})}, preexec_fn=_die_with_parent,
    )  # fmt: skip
    try:
        async with asyncio.timeout(timeout_s):
            made, said = await process.communicate(stdin)
    except TimeoutError:
        raise RuntimeError(f"{command[0]} did not end within {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it did not say why"]
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {last[0]}")
    return made


def _die_with_parent() -> None:
    """Runs in the child before the program: the kernel ends it with the sandbox, also after kill -9 (prctl(2))."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
