"""A job's log, read page by page, and read on while the job runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from jobrunner.shown import LogLine

C = TypeVar("C")

AGAIN_S = 0.5
"""How often a log is asked for more: lines are written so often."""


@dataclass(frozen=True, slots=True)
class LogPage(Generic[C]):
    """`end` is where it ends: what to read on from."""

    lines: Sequence[LogLine]
    end: C | None
    has_more: bool


async def read_on(
    page: Callable[[C | None], Awaitable[LogPage[C]]], ended: Callable[[], Awaitable[bool]], *, follow: bool
) -> AsyncIterator[LogLine]:
    """All lines that there are; to `follow`, also those that come until the job has `ended`."""
    at: C | None = None
    while True:
        last = not follow or await ended()  # asked before: all that was said by then is in the page
        read = await page(at)
        for line in read.lines:
            yield line
        at = read.end
        if read.has_more:
            continue
        if last:
            return
        await asyncio.sleep(AGAIN_S)
