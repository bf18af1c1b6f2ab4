"""ffmpeg as a confined, supervised subprocess.

It gets: inputs by links in a directory of its own, each with the demuxer that its bytes ask for and no protocol but
`file`; limits of memory, processor time and file size, and no sockets; a process group that ends with the waiting, and
at the latest with us. Its words are bounded, and shown without control characters.
"""

import asyncio
import importlib
import importlib.util
import os
import resource
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

from jobrunner.errors import AttemptError, PermanentError, TransientError
from jobrunner.media.confinement import REACHING_OUT, Confinement
from jobrunner.media.probe import MediaInfo
from jobrunner.redaction import escaped

MAX_PIXELS = 4096 * 4096
"""A frame of more is refused by the decoder, whatever the file's header says."""

_LIMITS = {
    resource.RLIMIT_AS: 16 << 30,  # 100 clips of 320x180 in one graph map 5.7 GiB on two cores, and hold 0.8
    resource.RLIMIT_CPU: 8 * 3600,
    resource.RLIMIT_FSIZE: 8 << 30,
    resource.RLIMIT_CORE: 0,
}
_NICE = 10  # the worker's event loop comes first
_GRACE_S = 1.0  # less than what a cancelled task is given before it is abandoned
_WORDS_BYTES = 8192
_SHOWN_LINES = 5
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
_QUIET = ("-nostdin", "-hide_banner", "-nostats", "-loglevel", "error", "-progress", "pipe:1", "-y")
_ENDED_BY_SIGNAL = 255  # ffmpeg's exit code when it ended itself on SIGTERM, SIGINT or SIGXCPU
_SENT_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}

_DEMUXERS: Mapping[str, str] = {
    "mp4": "mov",
    "quicktime": "mov",
    "webm": "matroska",
    "wav": "wav",
    "mpeg": "mp3",
    "ogg": "ogg",
    "flac": "flac",
    "aac": "aac",
}
"""By the subtype of the sniffed media type. Left to probe, ffmpeg would take a playlist for what it says it is."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file in ffmpeg's working directory: `name` is ours, `info` is what its bytes say."""

    name: str
    info: MediaInfo

    @property
    def demuxer(self) -> str:
        return _DEMUXERS[self.info.mime.partition("/")[2]]

    def arguments(self) -> list[str]:
        confined = ["-protocol_whitelist", "file", "-format_whitelist", self.demuxer, "-f", self.demuxer]
        bounded = ["-threads", "1", *(["-max_pixels", str(MAX_PIXELS)] if self.info.kind == "video" else [])]
        return [*confined, *bounded, "-i", f"file:{self.name}"]


async def ffmpeg(
    arguments: Sequence[str], *, into: Path, seconds: float = 0.0, progress: Callable[[float], None] | None = None
) -> None:
    """Run ffmpeg in the directory of `into`, which is the caller's own, and have it write `into`.

    `arguments` are inputs (`Input.arguments`), filters and codecs; `seconds` is how long the result will play, and
    `progress` is told which part of that is done, 0 to 1. As many run at once as there are processors; the rest wait.
    Cancelled, it is gone before the cancellation goes on.
    Raises PermanentError `ffmpeg_failed` or `ffmpeg_missing`, TransientError `ffmpeg_killed`.
    """
    command = [await asyncio.to_thread(binary), *_QUIET, *arguments, f"file:{into.name}"]
    async with _turn():
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=into.parent,
            env=_ENVIRONMENT,
            start_new_session=True,
            preexec_fn=_BeforeExec(),
        )
        try:
            _, said, code = await asyncio.gather(
                _follow(process, seconds, progress), _last_words(process), process.wait()
            )
        finally:
            await _end(process)
    if code != 0:
        raise _failure(code, said)


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a decoder is told before the first picture and sound, as lines of ffmpeg's framecrc muxer.

    Codecs, sizes, rates and a hash of each codec's own header, such as `#codec_id 0: h264`. Files of equal encoding
    can be joined without being encoded again.
    """

    lines: tuple[str, ...]

    @property
    def picture(self) -> str | None:
        """The codec's name, as ffmpeg has it."""
        return self._codec(0)

    @property
    def sound(self) -> str | None:
        return self._codec(1)

    def _codec(self, stream: int) -> str | None:
        before = f"#codec_id {stream}: "
        return next((line.removeprefix(before) for line in self.lines if line.startswith(before)), None)


async def encoding(video: Input, directory: Path) -> Encoding:
    """Ask ffmpeg, which decodes nothing for it. `directory` holds the link `video.name`. Raises what `ffmpeg` does."""
    report = directory / f"{video.name}.encoding"
    first = ["-map", "0:v:0", "-map", "0:a:0?", "-c", "copy", "-frames:v", "1", "-frames:a", "1"]
    await ffmpeg([*video.arguments(), *first, "-f", "framecrc"], into=report)
    lines = await asyncio.to_thread(report.read_text, encoding="ascii")
    return Encoding(tuple(line for line in lines.splitlines() if line.startswith("#")))


@cache
def binary() -> str:
    """The ffmpeg on the PATH, or else the one in imageio-ffmpeg's wheel. Raises PermanentError `ffmpeg_missing`."""
    found = shutil.which("ffmpeg")
    if found is None and importlib.util.find_spec("imageio_ffmpeg") is not None:
        with suppress(RuntimeError):  # a wheel without a binary for this machine
            found = str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    if found is None:
        raise PermanentError(
            "The worker has no ffmpeg. Install it (`apt install ffmpeg`), or `pip install 'jobrunner[local]'`, "
            "which brings one, and retry the job.",
            code="ffmpeg_missing",
        )
    return found


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _turn() -> asyncio.Semaphore:
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(os.cpu_count() or 1))


class _BeforeExec(Confinement):
    """Runs in the child between fork and exec, and takes no lock there: everything is prepared before the fork."""

    def __init__(self) -> None:
        super().__init__(_LIMITS, REACHING_OUT)
        self._parent = os.getpid()

    def __call__(self) -> None:
        os.nice(_NICE)
        if self._libc is not None:
            self._libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != self._parent:
                os._exit(1)  # the parent died before the kernel knew whom to tell
        super().__call__()


async def _follow(process: Process, seconds: float, progress: Callable[[float], None] | None) -> None:
    """Read `key=value` lines to the end. Source: ffmpeg's documentation of -progress."""
    if process.stdout is None:
        raise AssertionError("ffmpeg was started without a pipe")
    async for line in process.stdout:
        key, _, value = line.decode("ascii", "replace").strip().partition("=")
        # Before the first packet the time is N/A.
        if key == "out_time_us" and value.isdecimal() and seconds > 0 and progress is not None:
            progress(min(1.0, int(value) / 1e6 / seconds))


async def _last_words(process: Process) -> str:
    """The end of what ffmpeg had to say, on one line."""
    if process.stderr is None:
        raise AssertionError("ffmpeg was started without a pipe")
    tail = b""
    while block := await process.stderr.read(_WORDS_BYTES):
        tail = (tail + block)[-_WORDS_BYTES:]
    return legible(tail)


def legible(words: bytes) -> str:
    """The last lines of `words`, joined by `; `. Files may make ffmpeg say anything, also what a terminal obeys."""
    lines = [line.strip() for line in words.decode(errors="replace").splitlines() if line.strip()]
    return escaped("; ".join(lines[-_SHOWN_LINES:]))


async def _end(process: Process) -> None:
    """Ask, then force, the whole group to end; a further cancellation only makes it quicker."""
    if process.returncode is not None:
        return
    ended = asyncio.ensure_future(process.wait())
    try:
        _signal(process, signal.SIGTERM)
        await asyncio.wait([ended], timeout=_GRACE_S)
    finally:
        if not ended.done():
            _signal(process, signal.SIGKILL)
        await ended


def _signal(process: Process, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, what)


def _failure(code: int, said: str) -> AttemptError:
    words = f" It said: {said}" if said else ""
    if code == _ENDED_BY_SIGNAL or -code in _SENT_FROM_OUTSIDE:
        return TransientError(
            f"ffmpeg was stopped by a signal: out of memory, a shutdown, or {_LIMITS[resource.RLIMIT_CPU]:,} s of "
            f"processor time used up.{words}",
            code="ffmpeg_killed",
        )
    if -code == signal.SIGXFSZ:
        return PermanentError(
            f"ffmpeg was stopped: the result is larger than {_LIMITS[resource.RLIMIT_FSIZE]:,} bytes. Make it shorter "
            "or smaller.",
            code="ffmpeg_failed",
        )
    ended = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return PermanentError(
        f"ffmpeg {ended}; a file is damaged, or of a kind it cannot read.{words}", code="ffmpeg_failed"
    )
