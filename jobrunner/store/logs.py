"""What tasks said while they ran: lines appended in batches, of which each job keeps the newest.

All methods raise Unavailable where Postgres is away.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from jobrunner.store.database import Database, in_halves
from jobrunner.store.queries import query
from jobrunner.store.rows import Connection, columns
from jobrunner.work import Level

KEPT = 1000
"""How many lines a job keeps."""

Place = tuple[int, int]
"""Of a line in its job's log: (attempt, number). It only grows."""


@dataclass(frozen=True, slots=True)
class Said:
    """A line that is not written yet. `said_s` is `time.monotonic()`; `fields` is a JSON object."""

    job_id: UUID
    attempt: int
    number: int
    said_s: float
    level: Level
    message: str
    fields: str


@dataclass(frozen=True, slots=True)
class Line:
    place: Place
    at: datetime
    level: Level
    message: str
    fields: dict[str, Any]


class Logs:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def append(self, lines: Sequence[Said]) -> list[Line | BaseException | None]:
        """The lines as they are written, in order.

        None for one of an attempt that has a successor, and for what a commit wrote whose answer was lost.
        """
        return await in_halves(self._append, lines)

    async def _append(self, lines: Sequence[Said]) -> list[Line | BaseException | None]:
        now_s = time.monotonic()
        new = columns(
            (each.job_id, each.attempt, each.number, now_s - each.said_s, each.level, each.message, each.fields)
            for each in lines
        )

        async def work(connection: Connection) -> list[asyncpg.Record]:
            written = await connection.fetch(query("append_log_lines"), *new)
            await connection.execute(query("trim_logs"), list({each.job_id for each in lines}), KEPT)
            return written

        rows = await self._db.transaction(work, repeatable=True)
        written = {(row["job_id"], row["attempt"], row["number"]): _line(row) for row in rows}
        return [written.get((each.job_id, each.attempt, each.number)) for each in lines]

    async def page(self, job_id: UUID, after: Place, limit: int) -> list[Line]:
        return [_line(row) for row in await self._db.rows("log_page", job_id, *after, limit)]


def _line(row: asyncpg.Record) -> Line:
    place = row["attempt"], row["number"]
    return Line(place, row["at"], row["level"], row["message"], orjson.loads(row["fields"]))
