"""Who could run a job that waits."""

from datetime import timedelta

import asyncpg
from uuid_utils.compat import uuid7

from jobrunner.store.crew import Backlog
from jobrunner.store.postgres import Store
from tests.integration.store.conftest import LEASE_S, QUEUE, held, inserted, new, worker


async def knowing(store: Store, *tasks: str, queue: str = QUEUE) -> None:
    await store.leases.register(
        uuid7(), host="here", pid=1, queue=queue, version="0", max_jobs=5, lease_s=LEASE_S, tasks=tasks
    )


async def test_nobody_is_there(store: Store) -> None:
    [job] = await inserted(store)
    await worker(store, lease_s=0)
    around = await store.crew.circumstances(job)
    assert (around.alive, around.able, around.free, around.held_until) == (0, 0, 0, None)
    assert abs(around.at - job.created_at) < timedelta(minutes=1)


async def test_who_knows_the_task_or_does_not_say_may_take_it(store: Store) -> None:
    [job] = await inserted(store)
    await knowing(store, "film", "mint")
    around = await store.crew.circumstances(job)
    assert (around.alive, around.able, around.free) == (1, 0, 0)
    await knowing(store, "draw")
    await knowing(store, "draw", queue="another")
    await worker(store)  # one of an older version
    around = await store.crew.circumstances(job)
    assert (around.alive, around.able, around.free) == (3, 2, 5 + 9)


async def test_slots_are_taken_by_the_jobs_that_are_held(store: Store) -> None:
    by = await worker(store)
    mine = await held(store, by)
    [waiting] = await inserted(store)
    assert (await store.crew.circumstances(waiting)).free == 9 - 1
    around = await store.crew.circumstances(mine)
    assert around.held_until is not None
    assert around.held_until > around.at


async def test_a_lease_ends_when_its_worker_is_declared_dead(store: Store, database: asyncpg.Connection) -> None:
    by = await worker(store)
    mine = await held(store, by)
    await database.execute("UPDATE jobrunner.workers SET dead_at = now() WHERE id = $1", by)
    around = await store.crew.circumstances(mine)
    assert around.alive == 0
    assert around.held_until is not None
    assert around.held_until <= around.at


async def test_a_backlog_is_counted_by_queue(store: Store, database: asyncpg.Connection) -> None:
    await held(store, await worker(store))
    await inserted(store, new(), new(delay_s=60), new(queue="another"))
    await database.execute("INSERT INTO jobrunner.jobs (task) VALUES ('draw')")
    assert await store.crew.backlogs() == {
        QUEUE: Backlog(due=1, later=1, running=1, strange=1),
        "another": Backlog(due=1, later=0, running=0, strange=0),
    }
