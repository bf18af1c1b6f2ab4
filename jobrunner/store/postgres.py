"""The store: methods are job operations, each one transaction.

Every write of a worker is guarded by (worker, fence, in_progress): one who lost a job changes nothing of it.

All methods raise Unavailable where Postgres is away, and InvalidRequest where it refuses the data.
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from jobrunner.job import Job, Status
from jobrunner.settings import Settings
from jobrunner.store.crew import Crew
from jobrunner.store.database import Database, PoolUse, in_halves
from jobrunner.store.deliveries import Deliveries
from jobrunner.store.gallery import Gallery
from jobrunner.store.leases import Leases
from jobrunner.store.logs import Logs
from jobrunner.store.migrate import pending
from jobrunner.store.mints import Mints
from jobrunner.store.minutes import Minutes
from jobrunner.store.overview import Overview
from jobrunner.store.pruning import Pruning
from jobrunner.store.queries import query
from jobrunner.store.rows import (
    Active,
    Connection,
    Filter,
    Finish,
    Looked,
    NewJob,
    ProgressNote,
    Step,
    StepWrite,
    artifact_of,
    columns,
    error_json,
    filter_values,
    finish_columns,
    job_of,
    jobs_made,
    step_columns,
    step_of,
    storable,
    to_json,
)
from jobrunner.work import Artifact

Inserted = tuple[Job, str | None]
"""A row, and the digest its idempotency key was first used with; None where the row is new."""


class Store:
    """`leases` are the workers' rows, `mints` what was signed for the chain, `deliveries` what webhooks are told.

    `pruning` takes out what is old, `gallery` finds the files that jobs made, `logs` are what their tasks said.
    `crew` is who could run what waits, `minutes` what was counted, `overview` how things stand.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self.leases = Leases(database)
        self.mints = Mints(database)
        self.deliveries = Deliveries(database)
        self.pruning = Pruning(database)
        self.minutes = Minutes(database)
        self.overview = Overview(database, self.minutes)
        self.crew = Crew(database)
        self.gallery = Gallery(database)
        self.logs = Logs(database)

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncIterator["Store"]:
        """Raises ConfigError for a wrong URL or record table, Unavailable where nothing answers."""
        async with Database.opened(settings) as database:
            yield cls(database)

    def connections(self) -> PoolUse:
        return self._db.use()

    # ---- submitting and asking -----------------------------------------------------------------

    def mirrors(self, module: str) -> bool:
        """Whether its jobs write to a table of the application's."""
        return module in self._db.records

    async def insert(self, jobs: Sequence[NewJob]) -> list[Inserted | BaseException]:
        """A row a job, in order."""
        return await in_halves(self._insert, jobs)

    async def _insert(self, jobs: Sequence[NewJob]) -> list[Inserted | BaseException]:
        async def work(connection: Connection) -> list[Job]:
            created = jobs_made(jobs, await connection.fetch(query("insert_jobs"), *columns(jobs)))
            await self._db.records.mirror(connection, created)
            return created

        created = await self._db.by_key.transaction(work, repeatable=True, lone=not self._db.records)
        if len(created) == len(jobs):
            return [(job, None) for job in created]
        ours = {job.id: job for job in created}
        by_key = dict[tuple[str, str | None], Inserted]()
        # Keys that were used before, and rows that were written by a commit whose answer was lost.
        named = columns((job.id, job.idempotency_scope, job.idempotency_key) for job in jobs)
        for row in await self._db.rows("jobs_by_id_or_key", *named):
            job = ours.setdefault(row["id"], job_of(row))
            by_key[row["idempotency_scope"], row["idempotency_key"]] = job, row["request_digest"]
        return [
            (ours[job.id], None) if job.id in ours else by_key[job.idempotency_scope, job.idempotency_key]
            for job in jobs
        ]

    async def get(self, job_id: UUID) -> Job | None:
        row = await self._db.row("job", job_id)
        return None if row is None else job_of(row)

    async def ended(self, job_ids: Collection[UUID]) -> list[Job]:
        """Those of `job_ids` that have reached a terminal state."""
        return [job_of(row) for row in await self._db.rows("jobs_terminal", list(job_ids))]

    async def with_key(self, scope: str, key: str) -> Job | None:
        row = await self._db.row("jobs_by_id_or_key", [], [scope], [key])
        return None if row is None else job_of(row)

    async def standing(self, job_ids: Collection[UUID]) -> list[Job]:
        """All of `job_ids` that exist."""
        return [job_of(row) for row in await self._db.rows("jobs_by_id", list(job_ids))]

    async def search(self, wanted: Filter) -> list[Job]:
        rows = await self._db.rows("list_jobs", *filter_values(wanted))
        return [job_of(row) for row in rows]

    async def cancel(self, job_id: UUID, record: dict[str, Any]) -> Job | None:
        """The row as it stands now, or None if it had ended (or does not exist)."""
        return next(iter(await self.cancel_many([job_id], record)), None)

    async def cancel_many(self, job_ids: Collection[UUID], record: dict[str, Any]) -> list[Job]:
        """The rows, as they stand now, of those that had not ended."""
        return await self._db.move_all("cancel_jobs", list(job_ids), to_json(record))

    async def retry(self, job_id: UUID) -> Job | None:
        """The row, pending again, or None if it was neither failed nor cancelled."""
        return next(iter(await self.retry_many([job_id])), None)

    async def retry_many(self, job_ids: Collection[UUID]) -> list[Job]:
        """The rows, pending again, of those that were failed or cancelled."""
        return await self._db.move_all("retry_jobs", list(job_ids))

    async def artifact(self, artifact_id: UUID) -> Artifact | None:
        row = await self._db.row("artifact", artifact_id)
        return None if row is None else artifact_of(row)

    async def insert_artifact(self, artifact: Artifact) -> None:
        """One that no step made."""
        await self._db.rows("insert_artifacts", *columns([_artifact_row(artifact, None)]))

    async def artifacts_of(self, job_ids: Collection[UUID]) -> list[Artifact]:
        return [artifact_of(row) for row in await self._db.rows("artifacts_of", list(job_ids))]

    async def jobs_of_remote(self, provider: str, remote_id: str) -> list[UUID]:
        """The job whose work this id of a provider's is, if it is anyone's."""
        return [row["job_id"] for row in await self._db.rows("jobs_of_remote", provider, remote_id)]

    async def steps_of(self, job_id: UUID) -> list[Step]:
        return [step_of(row) for row in await self._db.rows("steps_of", job_id)]

    # ---- a worker's writes ---------------------------------------------------------------------

    async def claim(
        self,
        worker: UUID,
        *,
        queue: str,
        tasks: Collection[str],
        limit: int,
        ids: Collection[UUID] | None = None,
        suspicion: int = 0,
    ) -> list[Job]:
        """Take the named jobs that are due, or (`ids` None) whatever is due; each with a higher fence."""
        known = list(tasks)
        if ids is not None:
            return await self._db.by_key.move_all("claim", worker, queue, known, list(ids), suspicion, ending=False)

        async def work(connection: Connection) -> list[asyncpg.Record]:
            due = await connection.fetch(query("lock_due"), queue, known, limit, suspicion)
            return await connection.fetch(query("claim"), worker, queue, known, [row["id"] for row in due], suspicion)

        return await self._db.moving(work)

    async def held(self, worker: UUID) -> list[Job]:
        return [job_of(row) for row in await self._db.rows("held_jobs", worker)]

    async def look_up(self, queue: str, ids: Collection[UUID]) -> list[Looked]:
        rows = await self._db.rows("look_up", list(ids), queue)
        return [Looked(**{**dict(row), "status": Status(row["status"])}) for row in rows]

    async def finish(self, worker: UUID, ends: Sequence[Finish]) -> list[Job | BaseException | None]:
        """The rows as written, in order; None where the job is no longer this worker's at that fence.

        An end that stands already was written by a commit whose answer was lost.
        """

        async def write(batch: Sequence[Finish]) -> list[Job | BaseException | None]:
            rows = {job.id: job for job in await self._db.by_key.move_all("finish", worker, *finish_columns(batch))}
            if len(rows) < len(batch):
                stand = {job.id: job for job in await self.ended([end.id for end in batch])}
                rows |= {end.id: stand[end.id] for end in batch if end.id in stand and _stands(end, stand[end.id])}
            return [rows.get(end.id) for end in batch]

        return await in_halves(write, ends)

    async def save_steps(self, worker: UUID, writes: Sequence[StepWrite]) -> list[bool | BaseException]:
        """Whether each step was written; False where the job is no longer this worker's at that fence."""

        async def write(batch: Sequence[StepWrite]) -> list[bool | BaseException]:
            return await self._save_steps(worker, batch)

        return await in_halves(write, writes)

    async def _save_steps(self, worker: UUID, writes: Sequence[StepWrite]) -> list[bool | BaseException]:
        async def work(connection: Connection) -> set[tuple[UUID, str]]:
            rows = await connection.fetch(query("save_steps"), worker, *step_columns([write.step for write in writes]))
            written = {(row["job_id"], row["name"]) for row in rows}
            new = [
                _artifact_row(each, write.step.name)
                for write in writes
                if (write.step.job_id, write.step.name) in written
                for each in write.artifacts
            ]
            if new:
                await connection.execute(query("insert_artifacts"), *columns(new))
            return written

        written = await self._db.transaction(work)
        return [(write.step.job_id, write.step.name) in written for write in writes]

    async def save_progress(self, worker: UUID, notes: Sequence[ProgressNote]) -> None:
        rows = columns((note.id, note.fence, note.fraction, storable(note.note)) for note in notes)
        await self._db.rows("save_progress", worker, *rows)

    async def remote_ids(self, provider: str, ids: Collection[str]) -> set[str]:
        """Which of a provider's ids already belong to some step."""
        return {row["remote_id"] for row in await self._db.rows("remote_ids", provider, list(ids))}

    # ---- upkeep --------------------------------------------------------------------------------

    async def active_page(self, queue: str, after: UUID, limit: int) -> list[Active]:
        return [Active(*row) for row in await self._db.rows("active_page", queue, after, limit)]

    async def adopt(
        self,
        judge: Callable[[Job], tuple[str, int] | dict[str, Any]],
        *,
        tasks: Collection[str],
        queue: str,
        limit: int,
    ) -> list[Job]:
        """Take in rows that an application inserted; `judge` answers (module, retries) or the error to fail with."""
        wanted = (list(tasks), limit)

        async def work(connection: Connection) -> list[asyncpg.Record]:
            moved: list[asyncpg.Record] = []
            for row in await connection.fetch(query("foreign_jobs"), *wanted):
                verdict = judge(job_of(row))
                if isinstance(verdict, tuple):
                    taken = await connection.fetch(query("adopt_job"), row["id"], *verdict, queue)
                else:
                    taken = await connection.fetch(query("refuse_job"), row["id"], "", error_json(verdict))
                moved += taken
            return moved

        if not await self._db.rows("foreign_jobs", *wanted):  # mostly: a look is one round trip, a transaction four
            return []
        return await self._db.moving(work)

    async def missing_migrations(self) -> list[str]:
        """Also the cheapest question there is: it answers when Postgres does."""
        return await self._db.transaction(pending)


def _artifact_row(artifact: Artifact, step: str | None) -> tuple[Any, ...]:
    return (
        *(artifact.id, artifact.job_id, step, artifact.kind, artifact.mime, artifact.size_bytes, artifact.sha256),
        *(artifact.key, artifact.width, artifact.height, artifact.duration_s, artifact.user_id),
    )


def _stands(end: Finish, job: Job) -> bool:
    return (job.fence, job.status, job.failures) == (end.fence, end.transition.status, end.transition.failures)
