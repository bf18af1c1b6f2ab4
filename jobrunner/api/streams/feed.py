"""What one open stream has yet to tell."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar
from uuid import UUID

from jobrunner.broker.changes import Change
from jobrunner.events import emit
from jobrunner.job import Job

T = TypeVar("T")

PENDING = 256
"""How many changes a job's stream may be behind before it is cut off: its client resumes where it was."""


class Feed(Generic[T]):
    """`of` is what it tells of; `cut` breaks its connection, `gone` says whether the client has.

    Behind by more than `most` items it ends.
    """

    def __init__(self, of: str, *, cut: Callable[[], None], gone: Callable[[], bool], most: int) -> None:
        self.gone = gone
        self._of = of
        self._cut = cut
        self._most = most
        self._items: deque[T] = deque()
        self._news = asyncio.Event()
        self.over = False

    @property
    def idle(self) -> bool:
        return not self._items

    def offer(self, item: T) -> None:
        self._items.append(item)
        self._news.set()
        if len(self._items) > self._most:
            emit("events.slow_reader", logging.WARNING, of=self._of, pending=len(self._items))
            self.end()

    def end(self) -> None:
        """At once: a client that is behind would take its time."""
        self.over = True
        self._news.set()
        if self._items:
            self._items.clear()
            self._cut()

    async def next(self) -> T | None:
        """None once the stream is over."""
        while not self.over:
            if self._items:
                return self._items.popleft()
            self._news.clear()
            await self._news.wait()
        return None

    def rest(self) -> list[T]:
        """What else is to be told by now."""
        items = list(self._items)
        self._items.clear()
        return items


class JobFeed(Feed[Change | Job]):
    """One job's: changes, or the row where it may have moved on without one."""

    def __init__(self, job_id: UUID, *, cut: Callable[[], None], gone: Callable[[], bool]) -> None:
        super().__init__(f"job {job_id}", cut=cut, gone=gone, most=PENDING)
        self.job_id = job_id
