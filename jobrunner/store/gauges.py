"""What Postgres counts of itself, and the end of a queue that only a bench used."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from jobrunner.store.database import Database
from jobrunner.store.queries import query
from jobrunner.store.rows import Connection


@dataclass(frozen=True, slots=True)
class PostgresReading:
    """Of this database, whoever uses it; `connections` are those of jobrunner's processes."""

    commits: int
    wal_bytes: int
    backend_pid: int
    connections: int
    now: datetime


class PostgresGauges:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def read(self) -> PostgresReading:
        [row] = await self._db.rows("gauges")
        return PostgresReading(**dict(row))

    async def forget(self, queue: str, since: datetime) -> list[UUID]:
        """Delete what a queue held: its jobs from `since` on, and its workers. The jobs' ids."""

        async def work(connection: Connection) -> list[UUID]:
            gone = await connection.fetch(query("forget_jobs"), queue, since)
            await connection.execute(query("forget_workers"), queue)
            return [row["id"] for row in gone]

        return await self._db.transaction(work)
