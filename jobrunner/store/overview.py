"""How things stand: what has not ended, who works, and what ended within the last hour."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from jobrunner.store.database import Database
from jobrunner.store.minutes import Hour, Minutes


@dataclass(frozen=True, slots=True)
class Open:
    """The jobs of one task on one queue that have not ended and whose last attempt failed at the same provider, if any.

    `due`: those that are pending and could run now, `due_since` the longest. `put_off`: those that a worker did not
    try, because a server that they need fails.
    """

    queue: str
    task: str
    module: str
    provider: str | None
    pending: int
    due: int
    due_since: datetime | None
    put_off: int
    in_progress: int


@dataclass(frozen=True, slots=True)
class Worker:
    """One that lives, is overdue, or died a short while ago. `tasks`: what it can run; None: it does not say.

    `stats` is what it said of itself (worker/vitals.py).
    """

    id: UUID
    host: str
    pid: int
    version: str
    queue: str
    tasks: Collection[str] | None
    started_at: datetime
    renewed_at: datetime
    lease_until: datetime
    dead_at: datetime | None
    max_jobs: int
    in_flight: int
    stats: Mapping[str, Any]
    alive: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """`at` is a moment of Postgres' clock. `bought`: how many jobs in progress have work under way at a provider."""

    at: datetime
    open: Sequence[Open]
    hour: Hour
    workers: Sequence[Worker] = ()
    bought: Mapping[str, int] = field(default_factory=dict)


class Overview:
    """Each asks in turn, so that one who watches takes no more than one connection. All raise Unavailable."""

    def __init__(self, database: Database, minutes: Minutes) -> None:
        self._db = database
        self._minutes = minutes

    async def of_all(self) -> Standing:
        workers = [_worker(row) for row in await self._db.rows("crew_of_late")]
        bought = {row["provider"]: row["jobs"] for row in await self._db.rows("bought")}
        return Standing(*await self.unended(), await self._minutes.last_hour(), workers, bought)

    async def of_user(self, user_id: str) -> Standing:
        return Standing(*await self.unended(user_id), await self._minutes.last_hour_of(user_id))

    async def unended(self, user_id: str | None = None) -> tuple[datetime, list[Open]]:
        """The moment, and what has not ended by then; `user_id`: whose, or everybody's."""
        [clock] = await self._db.rows("clock")
        return clock["now"], [Open(*row.values()) for row in await self._db.rows("open_jobs", user_id)]


def _worker(row: asyncpg.Record) -> Worker:
    return Worker(**{**dict(row), "stats": orjson.loads(row["stats"])})
