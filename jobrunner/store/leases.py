"""Leases: who may run jobs until when, and whose jobs are taken from the dead."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import asyncpg

from jobrunner.job import CRASH_LIMIT, Job
from jobrunner.store.database import Database
from jobrunner.store.queries import query
from jobrunner.store.rows import Connection, to_json

CRASH_RECORD = {
    "code": "worker_crashed",
    "message": "The worker that ran this job and no other died or lost its lease.",
    "retryable": True,
}
LOSS_RECORD = {
    "code": "worker_lost",
    "message": "The worker that ran this job among others died or lost its lease. It is not held against the job, "
    "which goes on apart from jobs that are above suspicion.",
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
        self,
        worker: UUID,
        *,
        host: str,
        pid: int,
        queue: str,
        version: str,
        max_jobs: int,
        lease_s: float,
        tasks: Collection[str] | None = None,
    ) -> datetime:
        """When that was, by Postgres' clock. `tasks`: the names of those it can run; None: it does not say."""
        known = None if tasks is None else sorted(tasks)
        [row] = await self._db.rows("register_worker", worker, host, pid, queue, version, max_jobs, lease_s, known)
        return cast("datetime", row["started_at"])

    async def renew(
        self, worker: UUID, *, lease_s: float, in_flight: int, stats: Mapping[str, Any]
    ) -> list[UUID] | None:
        """The worker's jobs that a person wants cancelled, or None if the worker was declared dead.

        `stats`: what it says of itself, in place of what it said before.
        """
        row = await self._db.row("renew_lease", worker, lease_s, in_flight, to_json(stats))
        return None if row is None else list(row["cancels"])

    async def retire(self, worker: UUID) -> None:
        await self._db.rows("retire_worker", worker)

    async def rescue(self, gone: UUID | None = None) -> list[Job]:
        """Declare overdue workers dead and move their jobs.

        `gone`: instead only this one, whose process has ended, however long its lease would last.
        """
        rescued: list[Job] = []
        while (jobs := await self._take_from_one(gone)) is not None:
            rescued += jobs
            if gone is not None:
                break
        return rescued

    async def _take_from_one(self, gone: UUID | None) -> list[Job] | None:
        """None where nobody is overdue.

        One transaction for each, for which a late heartbeat waits; one for all would grow with the disaster until it
        could not end in time, and then nobody would be rescued.
        """
        worker: UUID | None = None
        name, *values = ("overdue_worker",) if gone is None else ("gone_worker", gone)

        async def work(connection: Connection) -> list[asyncpg.Record]:
            nonlocal worker
            worker = await connection.fetchval(query(name), *values)
            if worker is None:
                return []
            await connection.execute(query("bury_worker"), worker)
            records = to_json(CRASH_RECORD), to_json(LOSS_RECORD), to_json(CANCEL_RECORD)
            return await connection.fetch(query("rescue_jobs"), worker, CRASH_LIMIT, *records)

        if gone is None and not await self._db.rows(name):  # mostly: a look is one round trip, a transaction four
            return None
        jobs = await self._db.moving(work)
        return None if worker is None else jobs

    async def due_suspects(self, queue: str, tasks: Collection[str]) -> dict[int, int]:
        """How many jobs of each suspicion are due, the least suspect first."""
        rows = await self._db.rows("due_suspects", queue, list(tasks))
        return {row["suspicion"]: row["due"] for row in rows}

    async def alive_workers(self, queue: str) -> int:
        row = await self._db.row("alive_workers", queue)
        return 0 if row is None else int(row[0])
