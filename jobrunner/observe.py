"""How a process is watched: events become log lines, readable on a terminal, JSON elsewhere; a blocked loop is told.

A loop that stands still renews no lease and answers nobody. Whoever starts the process (compose, systemd, Kubernetes, a
worker for its wards) starts another when it ends; `jobrunner up` is one process, and ends as a whole.
"""

import asyncio
import faulthandler
import logging
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import structlog

from jobrunner.events import Event, emit, subscribe

_STALL_S = 1.0
"""A loop that stands still for longer delays everybody else's work: its culprit is logged."""

_BEAT_S = 0.25

_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # locals hold requests, and secrets in them
)


@contextmanager
def observing(*, level: int = logging.INFO) -> Iterator[None]:
    """Log every event of `level` and above to stderr while the block runs."""
    logger = _logger(human=sys.stderr.isatty())

    def log(event: Event) -> None:
        if event.level < level:
            return
        fields = dict(event.fields)
        exception = fields.pop("exception", None)
        if isinstance(exception, BaseException):
            fields["exc_info"] = exception
        logger.log(event.level, event.name, **fields)

    with subscribe(log):
        yield


def _logger(*, human: bool) -> Any:
    renderer: Any = structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer()
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if human else [_TRACEBACKS]),
        renderer,
    ]
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
    )


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
