"""Who could run what waits: what is asked when something does not run."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from jobrunner.job import Job
from jobrunner.store.database import Database


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Of one job, `at` a moment of Postgres' clock.

    `alive`: the workers on its queue; `able`: those of them that know its task, or do not say; `free`: their slots that
    no job holds. `held_until`: the end of its own worker's lease.
    """

    at: datetime
    alive: int
    able: int
    free: int
    held_until: datetime | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What of a queue has not ended. `strange`: rows that an application inserted and no worker has looked at yet."""

    due: int
    later: int
    running: int
    strange: int


class Crew:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def circumstances(self, job: Job) -> Circumstances:
        [row] = await self._db.rows("circumstances", job.queue, job.task, job.worker_id)
        return Circumstances(*row.values())

    async def backlogs(self) -> Mapping[str, Backlog]:
        """By queue."""
        return {queue: Backlog(*counts) for queue, *counts in await self._db.rows("backlogs")}
