"""Has files looked into by processes of their own: see `examiner`, which says what those can do, and cannot."""

import asyncio
import atexit
import os
import queue
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from pydantic import TypeAdapter, ValidationError

from jobrunner.errors import PermanentError, TransientError
from jobrunner.media.probe import KEPT, MediaInfo

WAIT_S = 60.0
"""How long a file may take in all. Its processor time is limited apart: a busy machine makes no file a bad one."""

_MODULE = "jobrunner.media.examiner"
_ANSWER_BYTES = 4096
_DYING_S = 5.0
_NONSENSE = "one that makes its reader talk nonsense"
_AT_ONCE = min(os.cpu_count() or 1, 4)
_NOT_THE_FILE = {0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}
"""Exit codes of an examiner that was done, or was ended from outside; all others are the file's doing."""


def media_info(path: Path) -> MediaInfo:
    """What the whole, untruncated file at `path` is. Synchronous: call it in a thread.

    Raises PermanentError `media_invalid` for anything else, also for a file that its examiner dies of or is stuck in;
    TransientError `media_unexamined` where there is no examiner to be had; OSError where there is no such file.
    """
    with path.open("rb") as file:
        for _ in range(3):  # the first may be done with its share, the second be killed
            with suppress(OSError):
                return _judged(_examiners.ask(file.fileno()))
    raise TransientError(
        "The process that looks into files does not stay alive: the machine is short of memory or processes. "
        "Until that is mended no file is taken in; try again.",
        code="media_unexamined",
    )


async def inspected(path: Path) -> MediaInfo:
    """`media_info` in a thread. Files that wait for an examiner keep no threads from others."""
    async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE)):
        return await asyncio.to_thread(media_info, path)


@dataclass(frozen=True, slots=True)
class _Refused:
    refusal: str


_VERDICT: TypeAdapter[MediaInfo | _Refused] = TypeAdapter(MediaInfo | _Refused)


def _judged(answer: bytes) -> MediaInfo:
    """What an examiner tells is read like a stranger's words: the file may be speaking through it."""
    try:
        verdict = _VERDICT.validate_json(answer)
    except ValidationError:
        raise _invalid(_NONSENSE) from None
    if isinstance(verdict, _Refused):
        raise PermanentError(verdict.refusal, code="media_invalid")
    if verdict.mime not in KEPT:
        raise _invalid("of no type that is kept")
    return verdict


def _invalid(what: str) -> PermanentError:
    return PermanentError(f"The file is {what}.", code="media_invalid")


class _Examiner:
    """One process and our end of the socket to it. It gets nothing of our environment, where secrets may stand."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own module
                [sys.executable, "-m", _MODULE],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,
            )

    def ask(self, file: int) -> bytes:
        """The answer to this open file. Raises PermanentError; OSError where the examiner is gone for other reasons."""
        self._channel.settimeout(WAIT_S)
        try:
            socket.send_fds(self._channel, [b"?"], [file])
            return self._line()
        except TimeoutError:
            raise _invalid(f"one that nobody could make out within {WAIT_S:g} s") from None
        except ConnectionError:
            if self._exit_code() in _NOT_THE_FILE:
                raise
            raise _invalid("damaged, or made to do damage: its reader dies of it") from None

    def _line(self) -> bytes:
        answer = b""
        while not answer.endswith(b"\n") and len(answer) < _ANSWER_BYTES:
            block = self._channel.recv(_ANSWER_BYTES)
            if not block:
                raise ConnectionResetError("the examiner has ended")
            answer += block
        if answer.find(b"\n") != len(answer) - 1:  # what it said too much would pass for its next answer
            raise _invalid(_NONSENSE)
        return answer

    def _exit_code(self) -> int | None:
        """None for one that hung up, and lives."""
        try:
            return self._process.wait(_DYING_S)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        self._channel.close()
        self._process.kill()
        self._process.wait()


class _Examiners:
    """As many as there are processors, each started when it is needed, and again after it had to be ended."""

    def __init__(self, at_once: int) -> None:
        self._free: queue.LifoQueue[_Examiner | None] = queue.LifoQueue()
        for _ in range(at_once):
            self._free.put(None)
        atexit.register(self.close)

    def ask(self, file: int) -> bytes:
        """Raises PermanentError, OSError."""
        one = self._free.get()
        try:
            one = one or _Examiner()
            return one.ask(file)
        except BaseException:
            if one is not None:
                one.close()
            one = None
            raise
        finally:
            self._free.put(one)

    def close(self) -> None:
        while not self._free.empty():
            one = self._free.get()
            if one is not None:
                one.close()


_examiners = _Examiners(_AT_ONCE)
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
