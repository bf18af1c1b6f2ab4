"""What a key may ask for in a minute, and how many jobs it may have at once; also without Redis, and after its loss."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import redis.asyncio as redis
from pydantic import SecretStr

from jobrunner.api import serving
from jobrunner.broker import limits
from jobrunner.settings import Settings
from tests.faults.proxy import Proxy
from tests.integration.api.conftest import problem, submission, submit, working
from tests.integration.api.keyring import keyed

ALL = ("submit", "read", "operate")


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    """A line to Redis that can be cut."""
    async with Proxy(Path(urlsplit(redis_url).path)).listening() as proxy:
        yield proxy


@pytest.fixture
def cuttable(settings: Settings, redis_url: str, proxy: Proxy) -> Settings:
    db = parse_qs(urlsplit(redis_url).query)["db"][0]
    return settings.model_copy(update={"redis_url": SecretStr(f"redis://127.0.0.1:{proxy.port}/{db}")})


async def statuses(http: aiohttp.ClientSession, count: int) -> Counter[int]:
    async def one() -> int:
        async with http.post("/v1/jobs", json=submission()) as answer:
            return answer.status

    return Counter(await asyncio.gather(*(one() for _ in range(count))))


async def refused(http: aiohttp.ClientSession) -> dict[str, Any]:
    async with http.post("/v1/jobs", json=submission()) as answer:
        assert int(answer.headers["Retry-After"]) > 0
        document = await problem(answer, 429, "too_many_jobs")
        assert document["retryable"]
        return document


async def test_a_key_asks_so_often_a_minute_and_is_told_when_again(settings: Settings) -> None:
    async with keyed(settings, slow={"requests_per_minute": 3}, free={}) as ring, ring.session("slow") as http:
        for left in (2, 1, 0):
            async with http.get("/v1/jobs") as answer:
                assert answer.status == 200
                assert answer.headers["RateLimit-Policy"] == '"requests";q=3;w=60'
                assert answer.headers["RateLimit"].startswith(f'"requests";r={left};t=')
        async with http.get("/v1/jobs") as answer:
            document = await problem(answer, 429, "too_many_requests")
            assert document["retryable"]
            assert 0 < int(answer.headers["Retry-After"]) <= 20
            assert answer.headers["RateLimit"] == f'"requests";r=0;t={answer.headers["Retry-After"]}'
        async with ring.session("free") as other, other.get("/v1/jobs") as answer:
            assert answer.status == 200
            assert "RateLimit" not in answer.headers


async def test_without_redis_the_same_pace_and_the_same_cap_hold(settings: Settings, tmp_path: Path) -> None:
    away = settings.model_copy(update={"redis_url": SecretStr(f"unix://{tmp_path}/nothing.sock")})
    async with keyed(away, web={"requests_per_minute": 5, "jobs_at_once": 2}) as ring, ring.session("web") as http:
        assert await statuses(http, 4) == {202: 2, 429: 2}
        await refused(http)
        async with http.get("/v1/jobs") as answer:
            await problem(answer, 429, "too_many_requests")


async def test_of_fifty_submissions_at_two_servers_as_many_get_in_as_may(settings: Settings) -> None:
    async with keyed(settings, web={"jobs_at_once": 10}) as ring, serving(ring.runtime) as url:
        there = replace(ring, url=url)
        async with ring.session("web") as one, there.session("web") as other:
            assert sum(await asyncio.gather(statuses(one, 25), statuses(other, 25)), Counter()) == {202: 10, 429: 40}


async def test_jobs_that_ended_make_room(settings: Settings) -> None:
    async with keyed(settings, web={"jobs_at_once": 2, "scopes": ALL}) as ring, ring.session("web") as http:
        ids = [await submit(http), await submit(http)]
        assert "2 jobs that have not ended" in (await refused(http))["detail"]
        async with working(ring.runtime):
            for id in ids:
                async with http.get(f"/v1/jobs/{id}", headers={"Prefer": "wait=30"}) as answer:
                    assert (await answer.json())["status"] == "completed"
        last = [await submit(http), await submit(http)]
        await refused(http)
        async with http.post(f"/v1/jobs/{last[0]}/cancel") as answer:
            assert answer.status == 202
        await submit(http)
        async with http.post(f"/v1/jobs/{last[0]}/retry") as answer:
            await problem(answer, 429, "too_many_jobs")


async def test_a_submission_that_makes_no_job_takes_no_seat(settings: Settings) -> None:
    async with keyed(settings, web={"jobs_at_once": 2}) as ring, ring.session("web") as http:
        first = await submit(http, idempotency_key="k")
        for _ in range(3):
            assert await submit(http, idempotency_key="k") == first
            async with http.post("/v1/jobs", json=submission(idempotency_key="k", retries=9)) as answer:
                await problem(answer, 422, "idempotency_key_reused")
        await submit(http)
        await refused(http)


async def test_a_submission_that_comes_again_is_answered_though_all_seats_are_taken(settings: Settings) -> None:
    async with keyed(settings, web={"jobs_at_once": 1}) as ring, ring.session("web") as http:
        first = await submit(http, idempotency_key="order-7")
        assert await submit(http, idempotency_key="order-7") == first
        await refused(http)


async def test_each_job_of_a_batch_needs_its_seat(settings: Settings) -> None:
    async with keyed(settings, web={"jobs_at_once": 3}) as ring, ring.session("web") as http:
        async with http.post("/v1/jobs:batch", json={"jobs": [submission()] * 5}) as answer:
            items = (await answer.json())["data"]
        assert [item["status"] for item in items] == [202, 202, 202, 429, 429]
        assert {item["problem"]["code"] for item in items[3:]} == {"too_many_jobs"}


async def test_a_redis_that_forgot_everything_lets_nobody_in_twice(settings: Settings, redis_url: str) -> None:
    async with keyed(settings, web={"jobs_at_once": 2}) as ring, ring.session("web") as http:
        assert await statuses(http, 2) == {202: 2}
        async with redis.Redis.from_url(redis_url) as client:
            await client.flushdb()
        await refused(http)


async def test_redis_hears_afterwards_who_came_in_while_it_was_away(
    cuttable: Settings, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_AWAY_S", 0.0)
    async with keyed(cuttable, web={"jobs_at_once": 3}) as ring, serving(ring.runtime) as url:
        there = replace(ring, url=url)
        async with ring.session("web") as http, there.session("web") as other:
            await submit(http)
            await proxy.cut()
            await submit(http)
            proxy.mend()
            await submit(http)
            await refused(http)
            await refused(other)
