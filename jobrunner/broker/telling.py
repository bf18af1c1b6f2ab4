"""Tells Redis what Postgres has committed, while nobody waits for it: reconcile makes up for what it did not hear."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextvars import Context
from typing import Any

from jobrunner.broker.changes import Changes, moved
from jobrunner.broker.queue import Entry, Queue
from jobrunner.errors import Unavailable
from jobrunner.events import emit
from jobrunner.job import Job

_BREATH_S = 0.003
"""Between two pushes: of jobs that come one by one, some go in one; the first of them goes at once."""


class Telling:
    def __init__(self, queue: Queue, changes: Changes) -> None:
        self._queue = queue
        self._changes = changes
        self._unpushed: list[Entry] = []
        self._pushing = False
        self._background: set[asyncio.Task[None]] = set()

    def push(self, jobs: Sequence[Job]) -> None:
        """New jobs into the queue, soon; those of other queues are found by the workers there."""
        self._unpushed += [entry_of(job) for job in jobs if job.queue == self._queue.name]
        if self._unpushed and not self._pushing:
            self._pushing = True
            self.soon(self._push())
        self._changes.tell(moved(job) for job in jobs)

    def push_again(self, jobs: Sequence[Job]) -> None:
        """Jobs that Redis may know under another time, or as ended."""
        self._changes.tell(moved(job) for job in jobs)
        self.soon(self._queue.push([entry_of(job) for job in jobs if job.queue == self._queue.name], again=True))

    def soon(self, telling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_told(telling), context=Context())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def drain(self) -> None:
        """Wait until Redis has heard all, or could not."""
        if self._background:
            await asyncio.wait(self._background)

    async def _push(self) -> None:
        """One call for all that was committed while the last one was under way."""
        try:
            while self._unpushed:
                entries, self._unpushed = self._unpushed, []
                await _told(self._queue.push(entries))
                await asyncio.sleep(_BREATH_S)
        finally:
            self._pushing = False


def entry_of(job: Job) -> Entry:
    return Entry(job.id, job.task, job.due_at)


async def _told(telling: Coroutine[Any, Any, None]) -> None:
    try:
        await telling
    except Unavailable as error:
        emit("redis.untold", logging.WARNING, error=str(error))
