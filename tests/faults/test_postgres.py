"""Rows: Postgres restarted, away, its backends terminated, its pool exhausted; a COMMIT's answer lost; its refusals."""

import asyncio
import signal

import aiohttp
import pytest

from jobrunner.store import database
from tests.faults.servers import Mortals
from tests.faults.world import World, until

PROMPTS = [f"scene {number}" for number in range(4)]
SLOW = [f"{prompt} [slow]" for prompt in PROMPTS]


async def refused(world: World, http: aiohttp.ClientSession) -> None:
    """A submission that is answered 503, and when to come again."""
    answer = await world.submit(http, "refused")
    assert (answer.status, int(answer.headers["Retry-After"]) > 0) == (503, True)


async def storm(world: World, http: aiohttp.ClientSession, over: asyncio.Event) -> None:
    """Submissions one upon the other; each is answered 202 or 503."""
    number = 0
    while not over.is_set():
        answer = await world.submit(http, f"storm {(number := number + 1)}")
        assert answer.status in {202, 503}
        await asyncio.sleep(0.05)


async def test_postgres_restarted(mortal_world: World, mortals: Mortals) -> None:
    world = mortal_world
    async with world.api() as http, world.working():
        await world.take(http, *SLOW)
        await world.bound()
        over = asyncio.Event()
        storming = asyncio.create_task(storm(world, http, over))
        async with mortals.killed("postgres", signal.SIGQUIT):
            await refused(world, http)
        async with world.recovering("server back"):
            await world.reconnect()
            await world.take(http, *PROMPTS)
            over.set()
            await storming
            await world.all_end(status="completed", crashes=0, failures=0)


@pytest.mark.parametrize("how", ["cut", "silent"])
async def test_postgres_away(world: World, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than the lease: nobody is charged with a crash, and nothing is bought again."""
    monkeypatch.setattr(database, "_COMMAND_S", 1.0)
    monkeypatch.setattr(database, "_ACQUIRE_S", 1.0)
    async with world.api() as http, world.working():
        await world.take(http, *SLOW)
        await world.bound()
        if how == "cut":
            await world.postgres.cut()
        else:
            world.postgres.fall_silent()
        await refused(world, http)
        await world.leases_over()
        world.postgres.mend()
        async with world.recovering("server back"):
            await world.take(http, *PROMPTS)
            await world.all_end(status="completed", crashes=0, failures=0)


async def terminate(world: World) -> int:
    """Every backend that serves a jobrunner of this world. How many there were."""
    ended = await world.database.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'jobrunner'"
    )
    return len(ended)


async def test_backends_gone_unnoticed(world: World) -> None:
    """They have said that they end, but not hung up: a submission goes another way, and nobody hears of it."""
    async with world.api() as http:
        await world.take(http, PROMPTS[0])
        world.postgres.lingers = True
        killed = await terminate(world)

        async def all_said_so() -> bool:
            return world.postgres.outlived >= killed

        await until(all_said_so)
        await world.take(http, *PROMPTS[1:])
        world.postgres.lingers = False
        async with world.working():
            await world.all_end(status="completed", fence=1)


async def test_backends_terminated(world: World) -> None:
    async with world.api() as http, world.working():
        over = asyncio.Event()
        storming = asyncio.create_task(storm(world, http, over))
        for _ in range(10):
            await asyncio.sleep(0.1)
            await terminate(world)
        over.set()
        await storming
        await world.take(http, *PROMPTS)
        await world.all_end(status="completed", crashes=0, failures=0)


async def test_pool_exhausted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody waits for a lock: who gets no connection, or no answer on it, is told to come again."""
    monkeypatch.setattr(database, "_COMMAND_S", 1.0)
    monkeypatch.setattr(database, "_ACQUIRE_S", 0.5)
    async with world.api(database_pool_size=2) as http:
        async with world.database.transaction():
            await world.database.execute("LOCK TABLE jobrunner.jobs")
            looks = [asyncio.create_task(world.ask(http, "GET", "/v1/jobs")) for _ in range(5)]
            await refused(world, http)
            assert [(await look).status for look in looks] == [503] * 5
        await world.take(http, *PROMPTS)
        async with world.working():
            await world.all_end(status="completed", fence=1)


@pytest.mark.parametrize(
    "after",
    [
        *("INSERT INTO jobrunner.jobs", "WITH alive AS", "INSERT INTO jobrunner.steps"),
        *("INSERT INTO jobrunner.artifacts", "WITH ended AS"),
    ],
    ids=["submit", "claim", "intent", "artifact", "finish"],
)
async def test_commit_s_answer_lost(world: World, after: str) -> None:
    """Each happened, once, and is known."""
    loss = world.postgres.lose_commit(after=after.encode())
    async with world.api() as http, world.working():
        await world.take(http, *PROMPTS)
        await world.all_end(status="completed", fence=1)
        assert loss.happened.is_set()
        await world.queued()
        assert len(await world.store.keys("arq:result:*")) == len(PROMPTS)
    assert await world.database.fetchval("SELECT count(*) FROM jobrunner.jobs") == len(PROMPTS)
    assert world.bought() == PROMPTS


@pytest.mark.parametrize("code", ["40P01", "40001"])
async def test_deadlock_and_serialization_failure(world: World, code: str) -> None:
    async with world.refusing(code, times=3), world.api() as http, world.working():
        await world.take(http, *PROMPTS)
        await world.all_end(status="completed", fence=1, failures=0)
    assert world.bought() == PROMPTS


async def test_disk_full(world: World) -> None:
    async with world.api() as http, world.working():
        await world.take(http, *SLOW)
        await world.bound()
        async with world.refusing("53100"):
            await refused(world, http)
            await world.heard("step.waits")
        await world.take(http, *PROMPTS)
        await world.all_end(status="completed", fence=1, failures=0, crashes=0)
    assert world.bought() == sorted([*PROMPTS, *SLOW])
