"""How a worker fills its slots, and how it leaves: short work ends, the rest goes back uncounted."""

import asyncio
import time
from uuid import uuid4

import pytest
from arq.connections import ArqRedis

from jobrunner.declare import TaskContext
from jobrunner.job import Status
from jobrunner.runtime import Runtime, opened
from jobrunner.settings import Settings
from jobrunner.settings.tables import Worker
from jobrunner.worker import claims
from jobrunner.worker.loop import WorkerLoop
from tests.integration.worker.conftest import SOON_S, Heard, act, ended, play, working


async def forever(ctx: TaskContext) -> None:
    await asyncio.Event().wait()


async def test_short_work_ends_before_its_worker_leaves(runtime: Runtime, heard: Heard) -> None:
    draining = asyncio.Event()

    async def wait(ctx: TaskContext) -> str:
        await draining.wait()
        return "in time"

    async with working(runtime) as worker:
        job = await play.delay(act=act(wait))
        await heard.until("job.started")
        worker.stop()
        await heard.until("worker.draining")
        draining.set()
    row = await runtime.client.get(job.id)
    assert (row.status, row.result, row.fence) == (Status.COMPLETED, {"value": "in time"}, 1)


@pytest.mark.parametrize("times", [1, 2])
async def test_long_work_goes_back_uncounted_at_once_if_told_twice(
    times: int, settings: Settings, heard: Heard
) -> None:
    drain_s = 0.2 if times == 1 else 3600.0
    hasty = settings.model_copy(update={"worker": Worker(drain_s=drain_s)})
    async with opened(hasty) as runtime:
        async with working(runtime) as worker:
            job = await play.delay(act=act(forever))
            await heard.until("job.started")
            for _ in range(times):
                worker.stop()
        row = await runtime.client.get(job.id)
        assert (row.status, row.failures, row.crashes, row.errors) == (Status.PENDING, 0, 0, [])
        assert (await runtime.queue.claim(1, {"play": 1})).ids == [str(job.id)]
        assert await runtime.store.leases.rescue() == []


async def test_a_burst_worker_ends_when_nothing_is_due(
    runtime: Runtime, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BACKOFF_S", 0.05)
    await redis.zadd("arq:queue", {str(uuid4()): 1})  # a ghost at the head is no end

    async def hello(ctx: TaskContext) -> str:
        return "hello"

    same = act(hello)
    jobs = await asyncio.gather(*(play.delay(act=same) for _ in range(30)))
    await runtime.client.telling.drain()
    async with asyncio.timeout(SOON_S):
        await WorkerLoop(runtime, burst=True).run()
    assert {(await runtime.client.get(job.id)).status for job in jobs} == {Status.COMPLETED}


async def test_a_worker_runs_no_more_at_once_than_it_has_slots(settings: Settings) -> None:
    running, most = 0, 0

    async def count(ctx: TaskContext) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    same = act(count)
    async with opened(settings.model_copy(update={"worker": Worker(max_jobs=3)})) as runtime, working(runtime):
        jobs = await asyncio.gather(*(play.delay(act=same) for _ in range(20)))
        await asyncio.gather(*(job.result(SOON_S) for job in jobs))
    assert most == 3


async def test_workers_share_the_work_and_no_job_runs_twice(settings: Settings) -> None:
    runs: list[str] = []

    async def note(ctx: TaskContext) -> None:
        runs.append(str(ctx.job.id))

    same = act(note)
    async with opened(settings) as one, opened(settings) as other, working(one), working(other):
        jobs = await asyncio.gather(*(play.delay(act=same) for _ in range(200)))
        await asyncio.gather(*(job.result(SOON_S) for job in jobs))
    assert sorted(runs) == sorted(str(job.id) for job in jobs)


async def test_a_thousand_waiting_jobs_start_in_one_process_at_once(settings: Settings) -> None:
    """Bounded by the slots alone: none waits for another's end."""
    everyone, began = asyncio.Barrier(1000), time.monotonic()

    async def meet(ctx: TaskContext) -> None:
        await everyone.wait()

    same = act(meet)
    async with opened(settings.model_copy(update={"worker": Worker(max_jobs=1000)})) as runtime, working(runtime):
        jobs = await asyncio.gather(*(play.delay(act=same) for _ in range(1000)))
        rows = [await ended(runtime, job.id) for job in jobs]
    assert {row.status for row in rows} == {Status.COMPLETED}
    assert time.monotonic() - began < SOON_S
