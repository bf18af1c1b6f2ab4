"""GET /v1/overview: what a server, its workers and their providers have done, and what keeps jobs waiting."""

import asyncio
from typing import Any

import aiohttp
import asyncpg
import pytest

from jobrunner.runtime import Runtime
from jobrunner.settings import Settings
from jobrunner.store.overview import Overview as Store
from tests.integration.api.conftest import problem, submission, submit, working
from tests.integration.api.keyring import keyed

SOON = {"Prefer": "wait=15"}


async def overview(http: aiohttp.ClientSession) -> Any:
    async with http.get("/v1/overview") as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def ended(http: aiohttp.ClientSession, **params: Any) -> None:
    async with http.post("/v1/jobs", json=submission(params=params), headers=SOON) as answer:
        assert answer.status == 200, await answer.text()


def named(rows: list[dict[str, Any]], key: str, name: str) -> dict[str, Any]:
    [row] = [row for row in rows if row[key] == name]
    return row


async def test_what_a_worker_did_is_told_after_it_left(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    async with working(runtime):
        await ended(http)
        await ended(http, fails=True)
    await submit(http, delay_s=3600)
    row = named((await overview(http))["tasks"], "task", "api_paint")
    assert row == {
        "task": "api_paint",
        "module": "image",
        "pending": 1,
        "in_progress": 0,
        "completed_1h": 1,
        "failed_1h": 1,
        "oldest_pending_s": None,
        "wait_s": None,
        "ended_per_minute": row["ended_per_minute"],
        "median_s": row["median_s"],
    }
    assert (len(row["ended_per_minute"]), sum(row["ended_per_minute"])) == (60, 2)
    [median_s] = [each for each in row["median_s"] if each is not None]
    assert 0 < median_s < 15


async def test_a_server_without_workers_says_so_first(http: aiohttp.ClientSession) -> None:
    await submit(http)
    told = await overview(http)
    assert told["problems"][0] == {
        "severity": "error",
        "what": "No worker is alive on queue 'arq:queue'; 1 job waits",
        "since": None,
        "jobs": 1,
        "remedy": "Start `jobrunner worker`.",
    }
    assert (told["workers"], told["servers"]["redis"]["ok"], told["servers"]["workers"]["ok"]) == ([], True, False)
    assert named(told["tasks"], "task", "api_paint")["oldest_pending_s"] >= 0
    assert {each["provider"] for each in told["providers"]} >= {"replicate", "openai", "ethereum"}


async def test_a_living_worker_is_shown_with_what_it_says_of_itself(
    runtime: Runtime, http: aiohttp.ClientSession, database: asyncpg.Connection
) -> None:
    async with working(runtime):
        async with asyncio.timeout(15):
            said = "SELECT EXISTS (SELECT FROM jobrunner.workers WHERE stats <> '{}')"
            while not await database.fetchval(said):  # noqa: ASYNC110  # its first heartbeat
                await asyncio.sleep(0.01)
        told = await overview(http)
    [worker] = told["workers"]
    assert (worker["alive"], worker["max_jobs"], worker["in_flight"]) == (True, 1000, 0)
    assert worker["memory_bytes"] > 1_000_000
    assert named(told["tasks"], "task", "api_paint")["wait_s"] == 0.0
    assert told["problems"] == []


async def test_a_bound_caller_hears_of_its_own_jobs_only(settings: Settings) -> None:
    bound = {name: {"user_id": name} for name in ("a", "b")}
    async with keyed(settings, any={}, **bound) as ring:
        async with working(ring.runtime), ring.session("a") as http:
            await ended(http)
        async with ring.session("a") as http:
            await submit(http, delay_s=3600)
            of_a = await overview(http)
        async with ring.session("b") as http:
            of_b = await overview(http)
        async with ring.session("any") as http:
            of_all = await overview(http)
    told_a, told_all = (named(told["tasks"], "task", "api_paint") for told in (of_a, of_all))
    assert (told_a["pending"], told_a["completed_1h"], sum(map(bool, told_a["median_s"]))) == (1, 1, 1)
    assert {**told_a, "median_s": []} == {**told_all, "median_s": []}
    assert not any(row["pending"] or row["completed_1h"] or sum(row["ended_per_minute"]) for row in of_b["tasks"])
    for told in (of_a, of_b):
        assert (told["providers"], told["workers"], told["servers"], told["problems"]) == ([], [], {}, [])


async def test_those_who_ask_at_once_share_an_answer(
    runtime: Runtime, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    of_all = Store.of_all

    async def counted(self: Store) -> Any:
        nonlocal asked
        asked += 1
        return await of_all(self)

    monkeypatch.setattr(Store, "of_all", counted)
    told = await asyncio.gather(*(overview(http) for _ in range(20)))
    assert asked == 1
    assert all(each == told[0] for each in told)


async def test_without_postgres_it_is_503_and_asked_anew(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    await runtime.store._db.pool.close()
    for _ in range(2):
        async with http.get("/v1/overview") as answer:
            await problem(answer, 503, "unavailable")
