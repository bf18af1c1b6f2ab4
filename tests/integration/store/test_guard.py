"""The database holds the transition table and the fence by itself, whoever writes."""

from itertools import product
from uuid import UUID

import asyncpg
import pytest

from jobrunner.job import TRANSITIONS, Status
from jobrunner.store.postgres import Store
from tests.integration.store.conftest import worker

HELD = Status.IN_PROGRESS


async def job_in(database: asyncpg.Connection, status: Status, holder: UUID) -> UUID:
    id = await database.fetchval(
        "INSERT INTO jobrunner.jobs (task, status, worker_id, fence) VALUES ('draw', $1, $2, 5) RETURNING id",
        status,
        holder if status is HELD else None,
    )
    assert isinstance(id, UUID)
    return id


async def test_the_database_allows_exactly_the_transitions_that_the_code_does(
    store: Store, database: asyncpg.Connection
) -> None:
    holder = await worker(store)
    allowed = set()
    for before, after in product(Status, Status):
        id = await job_in(database, before, holder)
        try:
            await database.execute(
                "UPDATE jobrunner.jobs SET status = $2, worker_id = $3, fence = fence + 1 WHERE id = $1",
                id,
                after,
                holder if after is HELD else None,
            )
        except asyncpg.CheckViolationError:
            continue
        allowed.add((before, after))
    unchanged = {(status, status) for status in Status}
    assert allowed - unchanged == {(before, after) for before, afters in TRANSITIONS.items() for after in afters}


@pytest.mark.parametrize(
    ("before", "change", "complaint"),
    [
        (Status.PENDING, "fence = fence - 1", "may not fall"),
        (HELD, "fence = 0, status = 'completed', worker_id = NULL", "may not fall"),
        (Status.PENDING, "status = 'in_progress', worker_id = $2", "must raise its fence"),
        (Status.PENDING, "status = 'in_progress', fence = fence + 1", "violates check constraint"),
        (HELD, "status = 'completed'", "violates check constraint"),
    ],
)
async def test_a_fence_only_grows_and_a_running_job_has_a_worker(
    before: Status, change: str, complaint: str, store: Store, database: asyncpg.Connection
) -> None:
    holder = await worker(store)
    id = await job_in(database, before, holder)
    with pytest.raises(asyncpg.CheckViolationError, match=complaint):
        await database.execute(f"UPDATE jobrunner.jobs SET {change} WHERE id = $1 AND $2::uuid IS NOT NULL", id, holder)
