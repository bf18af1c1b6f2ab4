"""Taking out what is old: a small batch a call, so that claims never wait for it. Files go after their rows."""

from collections.abc import Collection
from uuid import UUID

from jobrunner.store.database import Database

BATCH = 200
MINUTES = 5000
LINES = 10_000
"""Small rows, which nobody waits for."""


class Pruning:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def jobs(self, days: float) -> tuple[int, list[str]]:
        """How many jobs that ended before so many days went, and the keys of their files, now without a row."""
        [row] = await self._db.rows("prune_jobs", days, BATCH)
        return row["jobs"], row["keys"]

    async def uploads(self, days: float) -> list[str]:
        """The keys of uploads that went: older than so many days, and named by no unfinished job."""
        return [row["key"] for row in await self._db.rows("prune_uploads", days, BATCH)]

    async def logs(self, days: float) -> int:
        """How many lines went that tasks logged before so many days."""
        return len(await self._db.rows("prune_logs", days, LINES))

    async def workers(self) -> int:
        """How many rows of workers went that have been dead for a day."""
        return len(await self._db.rows("prune_workers", BATCH))

    async def minutes(self) -> int:
        """How many counts went that are older than a week."""
        return len(await self._db.rows("prune_minutes", MINUTES))

    async def artifacts_known(self, ids: Collection[UUID]) -> set[UUID]:
        return {row["id"] for row in await self._db.rows("artifacts_known", list(ids))}

    async def in_progress(self, ids: Collection[UUID]) -> set[UUID]:
        return {row["id"] for row in await self._db.rows("jobs_in_progress", list(ids))}
