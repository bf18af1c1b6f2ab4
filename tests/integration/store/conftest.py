"""The store on a database of its own, a raw connection beside it, and short words for rows and workers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from jobrunner.job import Job, Status, Transition
from jobrunner.settings import Settings
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Finish, NewJob

QUEUE = "arq:queue"
LEASE_S = 30.0


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    async with Store.opened(Settings(database_url=SecretStr(database_url))) as store:
        yield store


def new(**changes: Any) -> NewJob:
    values = {"id": uuid7(), "task": "draw", "module": "image", "params": "{}", "queue": QUEUE, "retries": 3}
    return NewJob(**{**values, **changes})


async def inserted(store: Store, *jobs: NewJob) -> list[Job]:
    results = await store.insert(jobs or [new()])
    return [result[0] for result in results if isinstance(result, tuple)]


async def worker(store: Store, *, lease_s: float = LEASE_S) -> UUID:
    """A registered worker; with a lease that is over it counts as crashed."""
    id = uuid7()
    await store.leases.register(id, host="here", pid=1, queue=QUEUE, version="0", max_jobs=9, lease_s=lease_s)
    return id


async def claimed(
    store: Store, by: UUID, *, ids: list[UUID] | None = None, limit: int = 100, suspicion: int = 0
) -> list[Job]:
    return await store.claim(by, queue=QUEUE, tasks=["draw"], limit=limit, ids=ids, suspicion=suspicion)


async def held(store: Store, by: UUID) -> Job:
    """One new job, claimed by this worker."""
    [job] = await inserted(store)
    [mine] = await claimed(store, by, ids=[job.id])
    return mine


async def row(store: Store, id: UUID) -> Job:
    job = await store.get(id)
    assert job is not None
    return job


async def somebody_waits(database: asyncpg.Connection) -> None:
    """Until a statement waits for a lock of ours."""
    async with asyncio.timeout(10):
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while not await database.fetchval(waiting):  # noqa: ASYNC110  # it happens in a server
            await asyncio.sleep(0.01)


def end(job: Job, status: Status = Status.COMPLETED, **changes: Any) -> Finish:
    return Finish(job.id, job.fence, Transition(status, job.failures, **changes))
