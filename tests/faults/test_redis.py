"""Rows: Redis flushed, killed, away, restarted empty; stopped, slow; full, read-only, with an evicting policy."""

import time
from typing import Any, cast

import aiohttp
import pytest

from jobrunner.errors import ConfigError
from tests.faults.servers import Mortals
from tests.faults.world import World, until

BEFORE = [f"before {number}" for number in range(3)]
SLOW = [f"{prompt} [slow]" for prompt in BEFORE]
MEANWHILE = [f"meanwhile {number}" for number in range(3)]
AFTER = [f"after {number}" for number in range(3)]

ANSWER_S = 2.0
"""How long the API may take, whatever Redis does."""


async def is_ready(world: World, http: aiohttp.ClientSession) -> bool:
    answer = await world.ask(http, "GET", "/readyz")
    return answer.status == 200


async def becomes_ready(world: World, http: aiohttp.ClientSession, *, ready: bool) -> None:
    async def is_so() -> bool:
        return await is_ready(world, http) is ready

    await until(is_so)


async def command(world: World, words: str) -> None:
    await cast("Any", world.store).execute_command(*words.split())


async def all_was_bought_once(world: World) -> None:
    """And nobody was charged with a crash for it."""
    await world.all_end(status="completed", fence=1, failures=0, crashes=0)
    assert len(world.bought()) == len(world.accepted)


async def test_redis_flushall(mortal_world: World) -> None:
    world = mortal_world
    async with world.api() as http, world.working():
        await world.take(http, *SLOW)
        await world.bound()
        later = await world.take(http, "later", delay_s=1.0)
        await world.queued(*world.accepted)
        await world.store.flushall()
        await world.take(http, *AFTER)
        async with world.recovering("server back"):
            await until(lambda: world.store.zscore("arq:queue", str(later[0])))
        await all_was_bought_once(world)


@pytest.mark.parametrize("memory", ["kept", "lost"])
async def test_redis_killed_and_restarted(mortal_world: World, mortals: Mortals, memory: str) -> None:
    """Empty, where its memory is lost."""
    world = mortal_world
    async with world.api() as http, world.working():
        await world.take(http, *SLOW)
        await world.bound()
        later = await world.take(http, "later", delay_s=1.0)
        await world.queued(*world.accepted)
        async with mortals.killed("redis"):
            await world.take(http, *MEANWHILE)
            if memory == "lost":
                mortals.forget()
        async with world.recovering("server back"):
            await until(lambda: world.store.zscore("arq:queue", str(later[0])))
        await world.take(http, *AFTER)
        await all_was_bought_once(world)


async def test_redis_away(world: World) -> None:
    """For longer than the lease: work goes on without it, also in a process of its own, which lives."""
    async with world.api() as http, world.process("worker") as worker:
        await world.take(http, *BEFORE)
        await world.all_end(status="completed")
        await world.redis.cut()
        await world.take(http, *MEANWHILE)
        await world.leases_renewed()
        await all_was_bought_once(world)
        world.redis.mend()
        async with world.recovering("server back"):
            await world.take(http, *AFTER)
            await all_was_bought_once(world)
        assert worker.process.poll() is None


async def test_redis_stopped(mortal_world: World, mortals: Mortals) -> None:
    world = mortal_world
    async with world.api() as http, world.working():
        await world.take(http, *SLOW)
        await world.bound()
        async with mortals.stopped("redis"):
            await prompt_answers(world, http)
            await all_was_bought_once(world)
        await world.take(http, *AFTER)
        await all_was_bought_once(world)
        await becomes_ready(world, http, ready=True)


async def prompt_answers(world: World, http: aiohttp.ClientSession) -> None:
    began = time.monotonic()
    await world.take(http, *MEANWHILE)
    assert time.monotonic() - began < ANSWER_S
    began = time.monotonic()
    assert not await is_ready(world, http)
    assert time.monotonic() - began < ANSWER_S + 1.0


async def test_redis_slow(world: World) -> None:
    world.redis.delay_s = 0.5
    async with world.api() as http, world.working():
        began = time.monotonic()
        await world.take(http, *BEFORE)
        assert time.monotonic() - began < ANSWER_S
        await all_was_bought_once(world)


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("CONFIG SET maxmemory-policy volatile-lru", "CONFIG SET maxmemory-policy noeviction"),
    ],
    ids=["oom", "readonly", "evicting_policy"],
)
async def test_redis_refuses(mortal_world: World, fault: str, remedy: str) -> None:
    """Readiness goes red, jobs are taken and done all the same, and it heals by itself."""
    world = mortal_world
    async with world.api() as http, world.working():
        await becomes_ready(world, http, ready=True)
        await command(world, fault)
        try:
            await becomes_ready(world, http, ready=False)
            await world.take(http, *MEANWHILE)
            await all_was_bought_once(world)
        finally:
            await command(world, remedy)
        await becomes_ready(world, http, ready=True)
        await world.take(http, *AFTER)
        await all_was_bought_once(world)
        await world.queued()


async def test_start_up_refuses_an_evicting_policy(mortal_world: World) -> None:
    world = mortal_world
    await world.store.config_set("maxmemory-policy", "volatile-lru")
    try:
        with pytest.raises(ConfigError, match="volatile-lru"):
            async with world.working():
                pass
    finally:
        await world.store.config_set("maxmemory-policy", "noeviction")
