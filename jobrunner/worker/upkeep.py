"""What workers do beside their jobs: keep their lease, rescue others' jobs, keep Redis true, take in foreign rows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from jobrunner.broker.changes import moved
from jobrunner.broker.queue import Entry, Queue, now_ms
from jobrunner.broker.stream import ENDED, Notices
from jobrunner.broker.telling import entry_of
from jobrunner.client.comparing import agree, disagreement
from jobrunner.declare import TaskSpec
from jobrunner.errors import InvalidParams, Unavailable
from jobrunner.events import emit
from jobrunner.job import Job, Status
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Active
from jobrunner.worker.lease import Lease

HOLD_GRACE_S = 30
"""An id is held in Redis this much longer than its hard timeout; the rescue, which knows by the lease, is quicker."""

_PAGE = 1000
_BREATH_S, _CALM_S = 0.1, 0.5
"""After a page that needed repair, and after one that did not: hundreds of them must not crowd out claims and ends."""

_SETTLED_S = 5.0
"""Rows younger than this are on their way into Redis: a claim or a push is under way."""


def hold_ms(spec: TaskSpec[Any, Any]) -> int:
    return round((spec.timeout.total_seconds() + HOLD_GRACE_S) * 1000)


async def tell(queue: Queue, notices: Notices, jobs: list[Job]) -> None:
    """Tell Redis what Postgres has committed; what it does not hear now, reconcile will tell it."""
    notices.changes.tell(moved(job) for job in jobs)
    try:
        await queue.finish([job for job in jobs if job.status.terminal])
        mine = [job for job in jobs if job.queue == queue.name]  # a rescue may bring those of other queues
        await queue.push([entry_of(job) for job in mine if job.status is Status.PENDING], again=True)
        await notices.send(ENDED, [job.id for job in jobs if job.status.terminal])
    except Unavailable as error:
        emit("redis.untold", logging.WARNING, jobs=len(jobs), error=str(error))


class Heartbeat:
    """One statement however many jobs are in flight; it brings back which of them a person wants cancelled."""

    name = "heartbeat"

    def __init__(
        self,
        lease: Lease,
        *,
        in_flight: Callable[[], int],
        stats: Callable[[], Mapping[str, Any]],
        cancel: Callable[[list[UUID]], None],
        died: Callable[[], Awaitable[None]],
        beat: Callable[[], Awaitable[None]],
    ) -> None:
        self._lease = lease
        self.every_s = lease.lease_s / 3
        self._in_flight = in_flight
        self._stats = stats
        self._cancel = cancel
        self._died = died
        self._beat = beat

    async def run_once(self) -> None:
        cancels = await self._lease.renew(in_flight=self._in_flight(), stats=self._stats())
        if cancels is None:
            await self._died()
        else:
            self._cancel(cancels)
        await self._beat()


class Rescue:
    """Moves the jobs of workers whose lease ran out back to pending, and their ids back to the queue's head."""

    name = "rescue"

    def __init__(self, store: Store, queue: Queue, notices: Notices, lease: Lease) -> None:
        self._store = store
        self._queue = queue
        self._notices = notices
        self._lease = lease
        self.every_s = max(0.2, lease.lease_s / 6)

    async def run_once(self) -> None:
        if self._lease.may_rescue:
            await self.take_from()

    async def take_from(self, gone: UUID | None = None) -> None:
        """Overdue workers, or only the one whose process is known to be `gone`. Raises Unavailable."""
        jobs = await self._store.leases.rescue(gone)
        for job in jobs:
            emit(
                "job.rescued",
                logging.WARNING,
                job_id=str(job.id),
                task=job.task,
                status=job.status,
                crashes=job.crashes,
                suspicion=job.suspicion,
            )
        await tell(self._queue, self._notices, jobs)


class Reconcile:
    """Makes Redis hold what Postgres says it should: pushed again after a flush, a restart, a lost push."""

    name = "reconcile"

    def __init__(self, store: Store, queue: Queue, holds_ms: Mapping[str, int], *, every_s: float) -> None:
        self._store = store
        self._queue = queue
        self._holds_ms = holds_ms
        self.every_s = every_s
        self._epoch: str | None = None

    async def run_once(self) -> None:
        """One pass over the active rows in keyset pages; no transaction is open across a call to Redis."""
        if not await self._queue.turn(self.name, self.every_s * 0.8) and not await self._lost():
            return
        after = UUID(int=0)
        while page := await self._store.active_page(self._queue.name, after, _PAGE):
            repaired = await self._repair(page)
            if len(page) < _PAGE:
                return
            after = page[-1].id
            await asyncio.sleep(_BREATH_S if repaired else _CALM_S)

    async def _lost(self) -> bool:
        """Whether Redis lost its memory since we asked last; a turn that somebody else has then waits for nobody."""
        before, self._epoch = self._epoch, await self._queue.epoch()
        if self._epoch == before:
            return False
        emit("redis.epoch", epoch=self._epoch, before=before)
        return True

    async def _repair(self, page: list[Active]) -> bool:
        """Whether there was anything to repair."""
        now, scores = now_ms(), await self._queue.scores([str(row.id) for row in page])
        odd = {row.id: score for row, score in zip(page, scores, strict=True) if not agree(row, score, now=now)}
        settled = timedelta(seconds=_SETTLED_S)
        found = [
            (row, disagreement(row, odd[row.id]))
            for row in (await self._store.look_up(self._queue.name, odd) if odd else [])
            if row.updated_at < row.read_at - settled
        ]
        lost = [Entry(row.id, row.task, row.due_at) for row, kind in found if kind in {"lost", "late"}]
        await self._queue.push(lost, again=True)
        unheld = [row for row, kind in found if kind == "unheld"]
        longest = max(self._holds_ms.values())
        await self._queue.hold({str(row.id): now + self._holds_ms.get(row.task, longest) for row in unheld})
        if lost or unheld:
            emit("redis.repaired", logging.WARNING, pushed=len(lost), held=len(unheld))
        return bool(lost or unheld)


class Adopt:
    """A `pending` row that an application inserted itself is a submission: checked, completed and pushed."""

    name = "adopt"
    every_s = 5.0

    def __init__(self, store: Store, queue: Queue, notices: Notices, tasks: Mapping[str, TaskSpec[Any, Any]]) -> None:
        self._store = store
        self._queue = queue
        self._notices = notices
        self._tasks = tasks

    async def run_once(self) -> None:
        while jobs := await self._store.adopt(self._judge, tasks=self._tasks, queue=self._queue.name, limit=_PAGE):
            await tell(self._queue, self._notices, jobs)

    def _judge(self, job: Job) -> tuple[str, int] | dict[str, Any]:
        spec = self._tasks.get(job.task)
        if spec is None:
            message = f"There is no task called {job.task!r}; declared are {', '.join(sorted(self._tasks))}."
            return {"code": "unknown_task", "message": message, "retryable": False}
        try:
            spec.validate(job.params)
        except InvalidParams as error:
            return {"code": "invalid_params", "message": str(error), "retryable": False, "errors": error.errors}
        except Exception as error:  # noqa: BLE001  # a params model that breaks must not keep other rows back
            message = f"{spec.name}: its params model broke: {type(error).__name__}: {error}"
            return {"code": "invalid_params", "message": message, "retryable": False}
        return spec.module, spec.retries
