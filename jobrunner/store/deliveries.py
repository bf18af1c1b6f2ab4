"""Deliveries: what was told to webhooks about a job, whom nobody tells any more, and telling again."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from jobrunner.job import Job
from jobrunner.store.database import Database
from jobrunner.store.outbox import again
from jobrunner.store.queries import query
from jobrunner.store.rows import Connection, job_of


@dataclass(frozen=True, slots=True)
class Disabled:
    """A receiver that nothing is sent to until a person asks for it."""

    url: str
    reason: str
    disabled_at: datetime


class Deliveries:
    def __init__(self, database: Database) -> None:
        self._db = database

    def listen(self, heard: Callable[[list[Job]], None]) -> None:
        """Call `heard` with the deliveries that come into being with a job's end, after their commit."""
        self._db.outbox.on_committed = heard

    async def of(self, job_id: UUID) -> list[Job]:
        """In the order in which they were made."""
        return [job_of(row) for row in await self._db.rows("deliveries_of", str(job_id))]

    def urls(self, job: Job) -> tuple[str, ...]:
        """Who is, or will be, told of the job's end."""
        return self._db.outbox.urls(job)

    async def disabled(self, urls: Collection[str]) -> list[Disabled]:
        return [Disabled(*row.values()) for row in await self._db.rows("disabled_webhooks", list(urls))]

    async def disable(self, url: str, reason: str) -> None:
        await self._db.rows("disable_webhook", url, reason)

    async def replay(self, job: Job) -> list[Job]:
        """Tell each receiver again what it was last told of `job`, now, or for the first time how it ended.

        A receiver that was disabled is tried again. Answers the deliveries, to be pushed.
        """

        async def work(connection: Connection) -> list[Job]:
            last = [job_of(row) for row in await connection.fetch(query("last_deliveries_of"), str(job.id))]
            known = {each.params["url"] for each in last}
            await connection.execute(query("enable_webhooks"), [*known, *self.urls(job)])
            waiting = [each.id for each in last if not each.status.terminal]
            hastened = await connection.fetch(query("hasten_deliveries"), waiting)
            repeated = [again(each) for each in last if each.status.terminal]
            made = await self._db.outbox.insert(connection, repeated)
            first = await self._db.outbox.fill(connection, [job], but=known)
            return [*map(job_of, hastened), *made, *first]

        return await self._db.transaction(work)
