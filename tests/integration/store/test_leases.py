"""A worker's lease: renewed while nobody declared it dead, and what becomes of its jobs when somebody does."""

import asyncio

import asyncpg
import pytest

from jobrunner.job import CRASH_LIMIT, Status
from jobrunner.store import database as pool
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Connection
from tests.integration.store.conftest import LEASE_S, claimed, held, inserted, row, somebody_waits, worker


async def test_an_overdue_workers_jobs_go_back_and_only_they(store: Store) -> None:
    overdue, living = await worker(store, lease_s=-1), await worker(store)
    lost, kept = await held(store, overdue), await held(store, living)
    [rescued] = await store.leases.rescue()
    assert (rescued.id, rescued.status, rescued.crashes, rescued.failures) == (lost.id, Status.PENDING, 1, 0)
    assert [error["code"] for error in rescued.errors] == ["worker_crashed"]
    assert await row(store, kept.id) == kept
    assert await store.leases.rescue() == []


async def test_a_job_that_outlived_too_many_workers_ends(store: Store) -> None:
    await held(store, await worker(store, lease_s=-1))
    for crash in range(1, CRASH_LIMIT):
        [job] = await store.leases.rescue()
        assert (job.status, job.crashes) == (Status.PENDING, crash)
        assert len(await claimed(store, await worker(store, lease_s=-1), suspicion=crash)) == 1
    [job] = await store.leases.rescue()
    assert job.error is not None
    assert (job.status, job.error["code"]) == (Status.FAILED, "worker_crashed")
    assert [error["attempt"] for error in job.errors] == [1, 2, 3]


async def test_a_worker_that_died_with_many_charges_none_and_each_runs_apart(store: Store) -> None:
    crowded, alone, ward = await worker(store, lease_s=-1), await worker(store, lease_s=-1), await worker(store)
    many, one = {(await held(store, crowded)).id for _ in range(3)}, await held(store, alone)
    await inserted(store)
    rescued = await store.leases.rescue()
    assert {(job.crashes, job.suspicion, job.errors[-1]["code"]) for job in rescued if job.id in many} == {
        (0, 1, "worker_lost")
    }
    assert [(job.crashes, job.suspicion) for job in rescued if job.id == one.id] == [(1, 1)]
    assert await store.leases.due_suspects("arq:queue", ["draw"]) == {1: 4}
    assert await store.leases.due_suspects("arq:queue", ["film"]) == {}
    assert {job.suspicion for job in await claimed(store, ward)} == {0}
    assert {job.id for job in await claimed(store, ward, suspicion=1)} == {*many, one.id}


async def test_a_person_s_retry_takes_the_suspicion_away(store: Store) -> None:
    job = await held(store, await worker(store, lease_s=-1))
    await store.leases.rescue()
    await store.cancel(job.id, {})
    retried = await store.retry(job.id)
    assert retried is not None
    assert (retried.suspicion, retried.crashes) == (0, 0)


async def test_a_worker_whose_process_is_gone_is_rescued_before_its_lease_ends(store: Store) -> None:
    gone, late = await worker(store), await worker(store, lease_s=-1)
    job = await held(store, gone)
    await held(store, late)  # whether it is dead may only be judged by one who renewed without a gap
    assert [rescued.id for rescued in await store.leases.rescue(gone)] == [job.id]
    assert await store.leases.renew(gone, lease_s=LEASE_S, in_flight=0, stats={}) is None


async def test_a_worker_declared_dead_by_hand_is_rescued(store: Store, database: asyncpg.Connection) -> None:
    job = await held(store, await worker(store))
    await database.execute("UPDATE jobrunner.workers SET dead_at = now()")
    assert [rescued.id for rescued in await store.leases.rescue()] == [job.id]


async def test_a_heartbeat_after_the_rescue_sees_its_death(store: Store) -> None:
    late = await worker(store, lease_s=-1)
    assert await store.leases.renew(late, lease_s=-1, in_flight=0, stats={}) == []
    await store.leases.rescue()
    assert await store.leases.renew(late, lease_s=LEASE_S, in_flight=0, stats={}) is None


async def test_a_heartbeat_before_the_rescue_saves_the_worker(store: Store) -> None:
    late = await worker(store, lease_s=-1)
    job = await held(store, late)
    assert await store.leases.renew(late, lease_s=LEASE_S, in_flight=1, stats={}) == []
    assert await store.leases.rescue() == []
    assert await row(store, job.id) == job


async def test_a_heartbeat_waits_for_the_rescue_under_way(store: Store, database: asyncpg.Connection) -> None:
    late = await worker(store, lease_s=-1)
    async with database.transaction():
        await database.execute("SELECT FROM jobrunner.workers FOR UPDATE")
        beating = asyncio.create_task(store.leases.renew(late, lease_s=LEASE_S, in_flight=0, stats={}))
        await somebody_waits(database)
        await database.execute("UPDATE jobrunner.workers SET dead_at = now()")
    assert await beating is None


async def test_rescuers_at_once_charge_a_job_with_one_crash(store: Store) -> None:
    for _ in range(5):
        await held(store, await worker(store, lease_s=-1))
    rescues = await asyncio.gather(*(store.leases.rescue() for _ in range(6)))
    assert [job.crashes for jobs in rescues for job in jobs] == [1] * 5


async def test_a_worker_that_leaves_with_jobs_in_hand_is_rescued_at_once(store: Store) -> None:
    leaving, idle = await worker(store), await worker(store)
    job = await held(store, leaving)
    await store.leases.retire(leaving)
    await store.leases.retire(idle)
    assert await store.leases.alive_workers("arq:queue") == 0
    assert [rescued.id for rescued in await store.leases.rescue()] == [job.id]
    assert await store.leases.renew(idle, lease_s=LEASE_S, in_flight=0, stats={}) is None


async def test_a_job_whose_cancel_was_asked_for_is_not_run_again_after_a_crash(store: Store) -> None:
    job = await held(store, await worker(store, lease_s=-1))
    await store.cancel(job.id, {})
    [rescued] = await store.leases.rescue()
    assert rescued.status is Status.CANCELLED
    assert rescued.error is not None
    assert rescued.error["code"] == "cancelled"


async def test_a_worker_that_froze_inside_a_transaction_does_not_keep_its_rescuers_waiting(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_SILENCE_S", 0.2)
    frozen, locked = await worker(store, lease_s=-1), asyncio.Event()
    job = await held(store, frozen)

    async def lock_and_freeze(connection: Connection) -> None:
        await connection.execute("SELECT FROM jobrunner.workers FOR KEY SHARE")
        locked.set()
        await asyncio.Event().wait()

    freezing = asyncio.create_task(store._db.transaction(lock_and_freeze))
    await locked.wait()
    assert await store.leases.rescue() == []
    async with asyncio.timeout(10):
        while not (rescued := await store.leases.rescue()):  # noqa: ASYNC110  # Postgres ends it
            await asyncio.sleep(0.02)
    assert [each.id for each in rescued] == [job.id]
    freezing.cancel()
    await asyncio.wait([freezing])
