"""Suspects run apart: never beside healthy jobs, in ever smaller company, and otherwise like any other job."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest
from arq.connections import ArqRedis
from uuid_utils.compat import uuid7

from jobrunner.broker.queue import now_ms
from jobrunner.declare import TaskContext
from jobrunner.job import Status
from jobrunner.runtime import Runtime
from jobrunner.worker import wards
from jobrunner.worker.health import health_check_key
from jobrunner.worker.loop import WorkerLoop
from jobrunner.worker.wards import Ward, Wards, slots_of
from tests.integration.worker.conftest import SOON_S, act, ended, play, until, working

QUEUE = "arq:queue"


@pytest.mark.parametrize(("suspicion", "slots"), [(0, 1000), (1, 125), (2, 15), (3, 1), (4, 1), (40, 1)])
def test_each_suspicion_runs_in_an_eighth_of_the_company(suspicion: int, slots: int) -> None:
    assert slots_of(suspicion, 1000) == slots


@pytest.fixture
def suspect(
    runtime: Runtime, database: asyncpg.Connection
) -> Callable[[Callable[[TaskContext], Awaitable[object]]], Awaitable[UUID]]:
    async def suspect(function: Callable[[TaskContext], Awaitable[object]]) -> UUID:
        job = await play.delay(act=act(function))
        await database.execute("UPDATE jobrunner.jobs SET suspicion = 2 WHERE id = $1", job.id)
        return job.id

    return suspect


Suspect = Callable[[Callable[[TaskContext], Awaitable[object]]], Awaitable[UUID]]


async def hello(ctx: TaskContext) -> str:
    return "hello"


async def forever(ctx: TaskContext) -> None:
    await asyncio.Event().wait()


async def test_a_worker_leaves_a_suspect_to_its_wards_and_its_id_away_from_the_queue_s_head(
    runtime: Runtime, redis: ArqRedis, suspect: Suspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wards, "_open", lambda *_: None)
    id = await suspect(hello)

    async def put_away() -> bool:
        score = await redis.zscore(QUEUE, str(id))
        return score is not None and score > now_ms() + 10_000

    async with working(runtime):
        await until(put_away)
        healthy = await play.delay(act=act(hello))
        assert (await healthy.result(SOON_S)).value == "hello"
        assert (await runtime.client.get(id)).fence == 0


async def test_a_suspect_that_redis_names_waits_for_nobody_s_next_look(
    runtime: Runtime, suspect: Suspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wards, "IDLE_S", 10 * SOON_S)
    async with working(runtime):
        await (await play.delay(act=act(hello))).result(SOON_S)  # its first look was for nothing
        assert (await ended(runtime, await suspect(hello))).status is Status.COMPLETED


async def test_a_ward_runs_its_suspects_and_ends(runtime: Runtime, redis: ArqRedis, suspect: Suspect) -> None:
    ids = [await suspect(hello) for _ in range(3)]
    healthy = await play.delay(act=act(hello))
    async with asyncio.timeout(SOON_S):
        await WorkerLoop(runtime, ward=Ward(2, uuid7())).run()
    assert {(await runtime.client.get(id)).status for id in ids} == {Status.COMPLETED}
    assert (await runtime.client.get(healthy.id)).status is Status.PENDING
    await until(lambda: only(redis, healthy.id))


async def only(redis: ArqRedis, id: UUID) -> bool:
    return bool(await redis.zrange(QUEUE, 0, -1) == [str(id).encode()])


async def test_a_job_in_a_ward_is_seen_as_running_and_can_be_cancelled(
    runtime: Runtime, redis: ArqRedis, suspect: Suspect
) -> None:
    id = await suspect(forever)
    async with working(runtime):
        await until(lambda: redis.exists(f"arq:in-progress:{id}"))
        await runtime.client.cancel(id)
        assert (await ended(runtime, id)).status is Status.CANCELLED
        await until(lambda: redis.exists(health_check_key(QUEUE)))


async def test_a_ward_leaves_its_host_s_sentinel_alone(runtime: Runtime, redis: ArqRedis, suspect: Suspect) -> None:
    await suspect(hello)
    await redis.set(health_check_key(QUEUE), b"its parent's")
    async with asyncio.timeout(SOON_S):
        await WorkerLoop(runtime, ward=Ward(2, uuid7())).run()
    assert await redis.get(health_check_key(QUEUE)) == b"its parent's"


async def test_a_ward_that_was_declared_dead_drops_its_jobs_and_leaves(
    runtime: Runtime, suspect: Suspect, database: asyncpg.Connection
) -> None:
    id = await suspect(forever)
    ward = Ward(2, uuid7())

    async def runs() -> bool:
        return (await runtime.client.get(id)).worker_id == ward.worker

    running = asyncio.create_task(WorkerLoop(runtime, ward=ward).run())
    await until(runs)
    await runtime.store.leases.rescue(ward.worker)
    async with asyncio.timeout(SOON_S):
        await running
    row = await runtime.client.get(id)
    assert (row.status, row.suspicion, row.crashes) == (Status.PENDING, 3, 1)


@pytest.mark.parametrize(("due", "opened"), [({1: 5}, [1, 1, 1]), ({1: 50, 2: 9, 3: 1}, [1, 1, 1, 1, 2, 3]), ({}, [])])
async def test_as_many_wards_are_opened_as_the_suspects_fill_and_one_at_least_for_each_suspicion(
    due: dict[int, int], opened: list[int], runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    async def live(self: Wards, ward: Ward) -> None:
        seen.append(ward.suspicion)
        await asyncio.Event().wait()

    async def suspects(*_: object) -> dict[int, int]:
        return due

    monkeypatch.setattr(Wards, "_watch", live)
    monkeypatch.setattr("jobrunner.worker.wards._AT_ONCE", 4)
    monkeypatch.setattr(runtime.store.leases, "due_suspects", suspects)
    wards = WorkerLoop(runtime)._wards
    for _ in range(2):  # those who start have not claimed yet: they are not doubled
        await wards.run_once()
        await asyncio.sleep(0)
    assert seen == opened
    for task in wards._living:
        task.cancel()
