"""Limits as Redis counts them: each caller for itself, and healing whatever stands under the keys."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from arq.connections import ArqRedis

from jobrunner.broker.limits import Limits, LimitsAway, spend
from jobrunner.events import Event, subscribe


@pytest.fixture
async def limits(redis_url: str) -> AsyncIterator[Limits]:
    limits = Limits(redis_url)
    yield limits
    await limits.aclose()


async def test_redis_and_a_server_alone_count_alike(limits: Limits) -> None:
    paid = 0.0
    for _ in range(4):
        there = await limits.spend("web", 3)
        here, paid = spend(paid, 1e15, 3)
        assert (there.allowed, there.remaining) == (here.allowed, here.remaining)
        assert there.wait_s == pytest.approx(here.wait_s, abs=5)
    assert not there.allowed
    assert (await limits.spend("other", 3)).allowed


async def test_a_pace_is_forgotten_within_a_minute(limits: Limits, redis: ArqRedis) -> None:
    for _ in range(5):
        await limits.spend("web", 5)
    assert 0 < await redis.pttl("jobrunner:pace:web") <= 60_000


@pytest.mark.parametrize("garbage", ["canary", "-1", "9e99", "nan", "inf"])
async def test_what_strangers_wrote_there_locks_nobody_out_for_long(
    limits: Limits, redis: ArqRedis, garbage: str
) -> None:
    await redis.set("jobrunner:pace:web", garbage)
    assert (await limits.spend("web", 6)).wait_s <= 10
    assert 0 < await redis.pttl("jobrunner:pace:web") <= 60_000
    await redis.set("jobrunner:seats:web", garbage)
    assert await limits.seat("web", [uuid4()], 1, witness=None) == 1
    await redis.delete("jobrunner:pace:web")
    await redis.zadd("jobrunner:pace:web", {garbage: 1})
    assert (await limits.spend("web", 6)).allowed


async def test_seats_are_few_and_a_lost_witness_is_told(limits: Limits, redis: ArqRedis) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    assert await limits.seat("web", [first, second, third], 2, witness=None) == 2
    assert await limits.seat("web", [second], 2, witness=first) == 1
    assert await limits.seat("web", [third], 2, witness=first) == 0
    await redis.zadd("jobrunner:seats:web", {b"\xff": 1})
    assert set(await limits.seated("web")) == {first, second}
    assert await redis.zcard("jobrunner:seats:web") == 2
    await limits.reseat("web", stay=(), leave=[first])
    assert await limits.seat("web", [third], 2, witness=first) is None


async def test_while_redis_is_away_it_is_asked_seldom() -> None:
    heard: list[Event] = []
    limits = Limits("redis://127.0.0.1:1/0")
    with subscribe(heard.append):
        for _ in range(3):
            with pytest.raises(LimitsAway):
                await limits.spend("web", 3)
    await limits.aclose()
    assert [event.name for event in heard] == ["limits.away"]
