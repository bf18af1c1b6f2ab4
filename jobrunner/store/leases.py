"""Leases: who may run jobs until when, and whose jobs are taken from the dead."""

from uuid import UUID

from jobrunner.job import CRASH_LIMIT, Job
from jobrunner.store.database import Database
from jobrunner.store.queries import query
from jobrunner.store.rows import Connection, job_of, to_json

CRASH_RECORD = {
    "code": "worker_crashed",
    "message": "The worker that ran this attempt died or lost its lease.",
    "retryable": True,
}
CANCEL_RECORD = {
    "code": "cancelled",
    "message": "Cancelled on request; its worker died before it had answered.",
    "retryable": False,
}


class Leases:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def register(
        self, worker: UUID, *, host: str, pid: int, queue: str, version: str, max_jobs: int, lease_s: float
    ) -> None:
        await self._db.rows("register_worker", worker, host, pid, queue, version, max_jobs, lease_s)

    async def renew(self, worker: UUID, *, lease_s: float, in_flight: int) -> list[UUID] | None:
        """The worker's jobs that a person wants cancelled, or None if the worker was declared dead."""
        row = await self._db.row("renew_lease", worker, lease_s, in_flight)
        return None if row is None else list(row["cancels"])

    async def retire(self, worker: UUID) -> None:
        await self._db.rows("retire_worker", worker)

    async def rescue(self) -> list[Job]:
        """Declare overdue workers dead and move their jobs, in one transaction: a late heartbeat waits for it."""

        async def work(connection: Connection) -> list[Job]:
            workers = [row["id"] for row in await connection.fetch(query("overdue_workers"))]
            if not workers:
                return []
            await connection.execute(query("bury_workers"), workers)
            records = to_json(CRASH_RECORD), to_json(CANCEL_RECORD)
            rows = await connection.fetch(query("rescue_jobs"), workers, CRASH_LIMIT, *records)
            jobs = [job_of(row) for row in rows]
            await self._db.records.mirror(connection, jobs)
            return jobs

        return await self._db.transaction(work)

    async def alive_workers(self, queue: str) -> int:
        row = await self._db.row("alive_workers", queue)
        return 0 if row is None else int(row[0])
