"""How attempts end: their outcomes offered to Postgres in batches, told to Redis, and counted."""

import asyncio
import logging
from contextvars import Context

from jobrunner.batch import Batcher
from jobrunner.broker.queue import Queue
from jobrunner.broker.stream import Notices
from jobrunner.errors import InvalidRequest, Unavailable
from jobrunner.events import emit
from jobrunner.failpoints import hit
from jobrunner.job import Job, Status
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Finish
from jobrunner.worker import claims
from jobrunner.worker.attempt import Attempt
from jobrunner.worker.lease import Lease
from jobrunner.worker.upkeep import tell


class Ends:
    """`counts` are in arq's words, for its health check."""

    def __init__(self, store: Store, queue: Queue, notices: Notices, lease: Lease) -> None:
        self._store = store
        self._queue = queue
        self._notices = notices
        self._lease = lease
        self._batches: Batcher[Finish, Job | None] = Batcher(self._write)
        self._telling: set[asyncio.Task[None]] = set()
        self.counts = {"complete": 0, "failed": 0, "retried": 0}

    async def write(self, attempt: Attempt, end: Finish) -> None:
        """Offer the outcome until Postgres takes it or says that the job is no longer ours."""
        while True:
            try:
                job = await self._batches.add(end)
            except Unavailable as error:
                emit("finish.waits", logging.WARNING, job_id=str(end.id), error=str(error))
                await asyncio.sleep(claims.BACKOFF_S)
                continue
            except InvalidRequest as error:
                end = attempt.refused(error)
                continue
            if job is None:
                emit("finish.too_late", logging.WARNING, job_id=str(end.id), attempt=end.fence)
            else:
                self._count(job, attempt.run_s)
            return

    async def told(self, timeout_s: float) -> None:
        """Wait until Redis has heard of all that was written, at most `timeout_s` seconds."""
        if self._telling:
            await asyncio.wait(self._telling, timeout=timeout_s)

    async def _write(self, ends: list[Finish]) -> list[Job | BaseException | None]:
        await hit("finish.before")
        results = await self._store.finish(self._lease.worker, ends)
        jobs = [job for job in results if isinstance(job, Job)]
        emit("jobs.finished", logging.DEBUG, jobs=len(jobs))
        # The next batch need not wait.
        telling = asyncio.create_task(tell(self._queue, self._notices, jobs), context=Context())
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        return results

    def _count(self, job: Job, run_s: float) -> None:
        word = {Status.COMPLETED: "complete", Status.FAILED: "failed", Status.PENDING: "retried"}.get(job.status)
        if word is not None:
            self.counts[word] += 1
        emit(
            "job.ended" if job.status.terminal else "job.requeued",
            job_id=str(job.id),
            task=job.task,
            status=job.status,
            attempt=job.fence,
            error=(job.error or {}).get("code"),
            run_s=round(run_s, 4),
        )
