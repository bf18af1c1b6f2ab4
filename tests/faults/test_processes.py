"""Rows: the worker dies; the API dies; SIGTERM with jobs in flight; ten deploys; a zombie; clocks that are wrong."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from jobrunner.worker.arq_worker import run_until_signalled
from tests.faults.world import World, until
from tests.processes import Running

PROMPTS = [f"scene {number}" for number in range(4)]
SLOW = [f"{prompt} [slow]" for prompt in PROMPTS]


async def death(running: Running) -> int:
    return await asyncio.to_thread(running.process.wait, 30)


async def saying(running: Running, word: str) -> None:
    """Wait until its log holds `word`."""

    async def said() -> bool:
        return word in running.said()

    await until(said, running.said)


async def stopped(running: Running) -> None:
    """Wait until the kernel says that the process stands still."""

    async def still() -> bool:
        return Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(") ")[2].startswith("T")

    await until(still, running.said)


@pytest.mark.parametrize("where", ["submit.before", "submit.after", "poll.before", "keep.between", "finish.before"])
async def test_worker_dies(world: World, where: str) -> None:
    async with world.api() as http:
        await world.take(http, "a harbour")
        async with world.process("worker", failpoint=f"{where}:kill") as worker:
            assert await death(worker) == -signal.SIGKILL
        async with world.recovering("worker killed"), world.working():
            await world.all_end(status="completed", fence=2, failures=0, crashes=1)
    assert world.bought() == ["a harbour"]


async def test_api_dies_between_insert_and_push(world: World) -> None:
    async with world.process("serve", "--json", failpoint="submit.committed:kill") as serve:
        ready = await asyncio.to_thread(serve.ready)
        async with world.calling(ready["api"]) as http:
            with pytest.raises(aiohttp.ClientConnectionError):
                await world.submit(http, PROMPTS[0])
        await death(serve)
    await world.queued()
    world.accepted.append(await world.database.fetchval("SELECT id FROM jobrunner.jobs"))  # it stands, so it must end
    async with world.recovering("api killed"), world.working():
        await world.all_end(status="completed", fence=1)
    assert world.bought() == PROMPTS[:1]


async def test_sigterm_with_jobs_in_flight(world: World) -> None:
    async with world.api() as http, world.process("worker") as worker:
        await world.take(http, *SLOW)
        await world.bound()
        async with world.recovering("drained"):
            assert await asyncio.to_thread(worker.stop) == 0
        assert {row["status"] for row in await world.rows()} == {"pending"}
        async with world.working():
            await world.all_end(status="completed", failures=0, crashes=0, fence=2)
    assert world.bought() == SLOW


async def test_ten_deploys_in_a_row(world: World) -> None:
    """Each worker gets its SIGTERM once it holds every job; the provider's answer comes after the last of them."""
    await world.fault(on="poll", fail="503")
    async with world.api() as http:
        await world.take(http, *PROMPTS)
        for deploy in range(1, 11):
            async with world.made_worker() as worker:
                running = asyncio.create_task(run_until_signalled(worker))
                await world.claimed(fence=deploy)
                await world.bound()
                os.kill(os.getpid(), signal.SIGTERM)
                async with world.recovering("drained"):
                    await running
        await world.no_faults()
        async with world.working():
            await world.all_end(status="completed", failures=0, crashes=0, fence=11)
    assert world.bought() == PROMPTS


@pytest.mark.parametrize("where", ["submit.before", "poll.before", "keep.between", "finish.before"])
async def test_zombie(world: World, where: str) -> None:
    """It stands still past its lease, and goes on where it was while another has its job.

    What it was about to send it does not: the other looks for it in vain, and buys under the next number.
    """
    async with world.api() as http, world.process("worker", failpoint=f"{where}:stop") as zombie:
        await world.take(http, "a harbour")
        await stopped(zombie)
        await world.fault(on="poll", fail="503")
        async with world.working():
            await world.claimed(fence=2)
            zombie.process.send_signal(signal.SIGCONT)
            await saying(zombie, "worker.declared_dead")
            await asyncio.to_thread(zombie.stop)
            await world.no_faults()
            await world.all_end(status="completed", fence=2, failures=0, crashes=1)
    assert world.bought() == ["a harbour"]
    sequence = await world.database.fetchval("SELECT sequence FROM jobrunner.steps")
    assert sequence == (2 if where == "submit.before" else 1)


@pytest.mark.parametrize("off_s", [-3600, -20, 20, 3600])
async def test_clock_skew(world: World, off_s: int) -> None:
    """A worker's clock is wrong: nothing is early, a lost push is made up for, and a lost purchase found."""
    await world.fault(on="create", fail="reset", count=1)
    async with world.api() as http:
        jobs = await world.take(http, *PROMPTS)
        await world.queued(*jobs)
        await world.store.zrem("arq:queue", str(jobs[0]))
        await world.take(http, "later", delay_s=1.0)
        async with world.process("worker", clock_off_s=off_s):
            rows = await world.all_end(status="completed", failures=0, crashes=0, fence=1)
    assert all(row["due_at"] <= row["started_at"] for row in rows)
    assert world.bought() == ["later", *PROMPTS]
