"""How a process is watched: events become log lines, readable on a terminal, JSON elsewhere; a blocked loop is told.

What libraries log (aiohttp, asyncio) takes the same way. An event is one line: control characters are escaped, secrets
are stars. Only on a terminal a traceback follows, each of its lines marked as such.

A loop that stands still renews no lease and answers nobody. Whoever starts the process (compose, systemd, Kubernetes, a
worker for its wards) starts another when it ends; `jobrunner up` is one process, and ends as a whole.
"""

import asyncio
import faulthandler
import gc
import logging
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, TextIO

import structlog
from pydantic import SecretStr

from jobrunner.events import Event, emit, subscribe
from jobrunner.redaction import STARS, escaped, redacted
from jobrunner.settings.tables import LogLevel

_STALL_S = 1.0
"""A loop that stands still for longer delays everybody else's work: its culprit is logged."""

_BEAT_S = 0.25

_GARBAGE = 25_000
"""Objects more than before, until those that may be garbage are looked for: some MiB, and some ms."""

_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # locals hold requests, and secrets in them
)


@contextmanager
def observing(level: LogLevel = "INFO") -> Iterator[None]:
    """Log every event of `level` and above to stderr while the block runs, and warnings of libraries."""
    logger = _logger(human=sys.stderr.isatty())

    def log(event: Event) -> None:
        fields = dict(event.fields)
        exception = fields.pop("exception", None)
        if isinstance(exception, BaseException):
            fields["exc_info"] = exception
        logger.log(event.level, event.name, **fields)

    heard = _Heard(logger)
    logging.getLogger().addHandler(heard)
    try:
        with subscribe(log, level=logging.getLevelNamesMapping()[level]):
            yield
    finally:
        logging.getLogger().removeHandler(heard)


class _Heard(logging.Handler):
    """What libraries log, as lines of ours; else Python prints it as it is, with all that users put into it."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger
        self.addFilter(
            lambda record: not logging.getLogger(record.name.partition(".")[0]).handlers
        )  # arq's has its own

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"exc_info": record.exc_info} if record.exc_info and record.exc_info[0] else {}
        try:
            self._logger.log(record.levelno, "library.said", logger=record.name, message=record.getMessage(), **fields)
        except Exception:  # noqa: BLE001  # what is logged is no reason to fail
            self.handleError(record)


def _logger(*, human: bool) -> Any:
    terminal = structlog.dev.ConsoleRenderer(exception_formatter=_write_traceback)
    renderer: Any = terminal if human else structlog.processors.JSONRenderer()
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if human else [_TRACEBACKS]),
        _discreet,
        renderer,
    ]
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
    )


def _discreet(_logger: Any, _method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {escaped(key): value if key == "exc_info" else _shown(value) for key, value in fields.items()}


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, SecretStr):
        return STARS
    if isinstance(value, Mapping):
        return {escaped(str(key)): _shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(each) for each in value]
    return escaped(redacted(str(value)))


_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def _write_traceback(stream: TextIO, exc_info: _ExcInfo) -> None:
    """Behind a mark on each line: an error's own words could else look like the next event."""
    told = redacted("".join(traceback.format_exception(*exc_info)))
    stream.writelines(f"\n  | {escaped(line)}" for line in told.splitlines())


def collect_rarely() -> None:
    """For a process that is ready and will run for long: what is loaded stays, and garbage is looked for seldom.

    A batch of jobs is tens of thousands of objects that go by themselves. By default the garbage collector looks
    through all of them, and all that was imported, again and again: a quarter of a busy worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE)


@asynccontextmanager
async def watched(limit_s: float) -> AsyncIterator[None]:
    """Log what blocks this thread's event loop; where it is blocked for `limit_s`, dump all stacks and end the process.

    The end comes from faulthandler's own thread in C, which needs no GIL: a catastrophic regular expression holds it.
    It counts a stopped process's time too: one that is continued after longer than `limit_s` ends.
    """
    sampler = _Sampler(threading.get_ident())
    beating = asyncio.create_task(_beat(sampler, limit_s), name="watchdog")
    sampler.start()
    try:
        yield
    finally:
        beating.cancel()
        sampler.over.set()
        faulthandler.cancel_dump_traceback_later()


async def _beat(sampler: "_Sampler", limit_s: float) -> None:
    while True:
        faulthandler.dump_traceback_later(limit_s, exit=True)
        sampler.beat_at = time.monotonic()
        await asyncio.sleep(min(_BEAT_S, limit_s / 4))


class _Sampler(threading.Thread):
    """Looks at the loop's thread from another; each stall is told once, while it lasts."""

    def __init__(self, watched: int) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._watched = watched
        self.beat_at = time.monotonic()
        self.over = threading.Event()

    def run(self) -> None:
        told = 0.0
        while not self.over.wait(_BEAT_S):
            beat_at = self.beat_at
            stalled_s = time.monotonic() - beat_at
            frame = sys._current_frames().get(self._watched)  # noqa: SLF001  # the documented way to see a thread
            if stalled_s > _STALL_S and beat_at != told and frame is not None:
                told = beat_at
                stack = [line.rstrip() for line in traceback.format_stack(frame)]
                emit("loop.blocked", logging.ERROR, for_s=round(stalled_s, 2), stack=stack)
