"""A blocked event loop is told, and ended.

A loop that stands still renews no lease and answers nobody. Whoever starts the process (compose, systemd, Kubernetes, a
worker for its wards) starts another when it ends; `jobrunner up` is one process, and ends as a whole.
"""

import asyncio
import faulthandler
import logging
import math
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobrunner.events import emit

_STALL_S = 1.0
"""A loop that stands still for longer delays everybody else's work: its culprit is logged."""

_BEAT_S = 0.5
"""Twice a second costs an idle worker little; each look wakes a thread."""

_ARM_S = 2.0
"""A countdown is a thread of its own: it is begun anew only so often, and lasts that much longer."""


@asynccontextmanager
async def watched(limit_s: float) -> AsyncIterator[None]:
    """Log what blocks this thread's event loop; where it is blocked for `limit_s`, dump all stacks and end the process.

    `loop.beat` tells twice a second how late the loop came round.

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
    pause_s = min(_BEAT_S, limit_s / 4)
    arm_s = min(_ARM_S, limit_s / 4)
    armed = -math.inf
    while True:
        sampler.beat_at = time.monotonic()
        if sampler.beat_at - armed >= arm_s:
            armed = sampler.beat_at
            faulthandler.dump_traceback_later(limit_s + arm_s, exit=True)
        await asyncio.sleep(pause_s)
        emit("loop.beat", logging.DEBUG, late_s=max(0.0, time.monotonic() - sampler.beat_at - pause_s))


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
