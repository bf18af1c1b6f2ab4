"""Taking jobs: ids from Redis, rows from Postgres; straight from Postgres while Redis is away."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from jobrunner.broker.changes import Changes, moved
from jobrunner.broker.queue import Entry, Queue, now_ms
from jobrunner.declare import TaskSpec
from jobrunner.errors import Unavailable
from jobrunner.events import emit
from jobrunner.failpoints import hit
from jobrunner.job import Job, Status
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Looked, known_id
from jobrunner.worker.upkeep import hold_ms

BACKOFF_S = 1.0
_AWAY_GRACE_S = 5.0
"""How long Redis may be away before due rows are claimed straight from Postgres."""
_ELSEWHERE_S = 30.0


class Claims:
    """`worker` tells under which identity (it changes when the worker was declared dead), `running` what runs here.

    `suspected` is called where Redis names a suspect, which is a ward's to run.

    A ward's, for jobs of a `suspicion`, come straight from Postgres: Redis names all that is due, suspect or not.
    """

    def __init__(
        self,
        store: Store,
        queue: Queue,
        changes: Changes,
        tasks: Mapping[str, TaskSpec[Any, Any]],
        *,
        worker: Callable[[], UUID],
        running: Callable[[], Collection[UUID]],
        suspected: Callable[[], None],
        suspicion: int = 0,
    ) -> None:
        self._store = store
        self._queue = queue
        self._changes = changes
        self._tasks = tasks
        self._worker = worker
        self._running = running
        self._suspected = suspected
        self._suspicion = suspicion
        self._unsure = False
        self._named: UUID | None = None  # by the wake that ended our sleep
        self._ahead: UUID | None = None  # a job that we took by its wake, which Redis offers until it hears of that
        self._holds_ms = {name: hold_ms(spec) for name, spec in tasks.items()}
        self.away_since: float | None = None

    async def take(self, free: int) -> tuple[list[Job], float | None]:
        """Jobs that are now ours, and when the next one is due. Raises Unavailable where Postgres is away."""
        if self._unsure and (jobs := await self._unheard()):
            return jobs, 0.0
        if self._suspicion:
            return await self._claim_suspects(free)
        named, self._named = self._named, None
        if named is not None and (jobs := await self._claim_ids([named])):
            self._ahead = named
            return jobs, 0.0
        ahead = self._ahead if self._ahead in self._running() else None  # else it may be due again
        try:
            claimed = await self._queue.claim(free, self._holds_ms, ahead=ahead)
            self._ahead = self.away_since = None
        except Unavailable as error:
            return await self._claim_without_redis(free, error)
        ids = await self._ids(claimed.ids)
        if not ids:
            return [], 0.0 if claimed.ids else claimed.next_due_s
        jobs = await self._claim_ids(ids)
        taken = {job.id for job in jobs}
        try:
            await self._return_others([each for each in ids if each not in taken])
        except Unavailable as error:
            if not jobs:
                raise
            emit("claim.others_wait", logging.WARNING, error=str(error))  # for reconcile; ours begin
        return jobs, 0.0

    async def sleep(self, timeout_s: float) -> None:
        """Until a push wakes us: the job that it names is taken next, before Redis is asked for more."""
        woken = await self._queue.wait(timeout_s)
        self._named = None if woken is None else _job_id(woken)

    async def _claim_ids(self, ids: Sequence[UUID]) -> list[Job]:
        await hit("claim.between")
        jobs = await self._claim_rows(len(ids), ids)
        emit("jobs.claimed", logging.DEBUG, jobs=len(jobs))
        return jobs

    async def _claim_suspects(self, free: int) -> tuple[list[Job], float | None]:
        jobs = await self._claim_rows(free, None)
        try:
            await self._queue.hold({str(job.id): now_ms() + self._holds_ms[job.task] for job in jobs})
        except Unavailable as error:
            emit("redis.untold", logging.WARNING, jobs=len(jobs), error=str(error))
        return jobs, 0.0 if jobs else None

    async def _claim_without_redis(self, free: int, error: Unavailable) -> tuple[list[Job], float | None]:
        now = time.monotonic()
        if self.away_since is None:
            self.away_since = now
            emit("redis.away", logging.ERROR, error=str(error))
        if now - self.away_since < _AWAY_GRACE_S:
            return [], BACKOFF_S
        return await self._claim_rows(free, None), BACKOFF_S

    async def _claim_rows(self, limit: int, ids: Sequence[UUID] | None) -> list[Job]:
        try:
            jobs = await self._store.claim(
                self._worker(),
                queue=self._queue.name,
                tasks=self._tasks.keys(),
                limit=limit,
                ids=ids,
                suspicion=self._suspicion,
            )
        except Unavailable:
            self._unsure = True
            raise
        self._changes.tell(moved(job) for job in jobs)
        return jobs

    async def _unheard(self) -> list[Job]:
        """Jobs of a claim that was committed and whose answer was lost: the rows say that they are ours."""
        running = set(self._running())  # before we ask: one that ends meanwhile must not begin again
        held = await self._store.held(self._worker())
        self._unsure = False
        unheard = [job for job in held if job.id not in running]
        if unheard:
            emit("claim.found_again", logging.WARNING, jobs=len(unheard))
            self._changes.tell(moved(job) for job in unheard)
        return unheard

    async def _ids(self, raw: list[str]) -> list[UUID]:
        """Anyone may have written into Redis: what is no id of ours is dropped, unread."""
        ids, garbage = list[UUID](), list[str]()
        for each in raw:
            job_id = _job_id(each)
            if job_id is None:
                garbage.append(each)
            else:
                ids.append(job_id)
        if garbage:
            emit("queue.garbage", logging.WARNING, dropped=len(garbage), first=garbage[0][:80])
            await self._queue.drop(garbage)
        return ids

    async def _return_others(self, ids: list[UUID]) -> None:
        """What Redis named and Postgres did not give: ended, not due yet, held by another, or nothing at all."""
        if not ids:
            return
        looked = {row.id: row for row in await self._store.look_up(self._queue.name, ids)}
        await self._queue.drop([str(each) for each in ids if each not in looked or looked[each].status.terminal])
        pending = [row for row in looked.values() if row.status is Status.PENDING]
        await self._queue.push([self._later(row) for row in pending], again=True)

    def _later(self, row: Looked) -> Entry:
        if row.early:
            return Entry(row.id, row.task, row.due_at)
        if row.suspicion:  # a ward takes it from Postgres
            self._suspected()
            return Entry(row.id, row.task, row.read_at + timedelta(seconds=_ELSEWHERE_S))
        if row.task in self._tasks:  # locked by a transaction under way
            return Entry(row.id, row.task, row.read_at + timedelta(seconds=BACKOFF_S))
        emit("task.not_here", logging.WARNING, task=row.task, job_id=str(row.id))
        return Entry(row.id, row.task, row.read_at + timedelta(seconds=_ELSEWHERE_S))


def _job_id(raw: str) -> UUID | None:
    """In our own spelling only: under another one the same job would stand in the queue twice."""
    try:
        job_id = known_id(raw)
    except ValueError:
        return None
    return job_id if str(job_id) == raw else None
