"""/, /v1/tasks, /livez and /readyz, and what the API answers while a server is away."""

from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from jobrunner.api import serving
from jobrunner.client import Client
from jobrunner.events import Event, subscribe
from jobrunner.runtime import Runtime, opened
from jobrunner.settings import Settings
from tests.integration.api.conftest import problem, submission, submit


async def test_the_root_and_the_tasks(http: aiohttp.ClientSession) -> None:
    async with http.get("/") as answer:
        assert (await answer.json())["name"] == "jobrunner"
    async with http.get("/livez") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})
    async with http.get("/v1/tasks") as answer:
        shown = {each["name"]: each for each in (await answer.json())["data"]}
    paint = shown["api_paint"]
    assert (paint["module"], paint["summary"], paint["timeout_s"], paint["soft_timeout_s"], paint["retries"]) == (
        "image",
        "Paint a stroke.",
        1800.0,
        1500.0,
        3,
    )
    assert paint["params"]["properties"]["width"]["type"] == "integer"
    assert paint["result"]["properties"]["colour"]["type"] == "string"


async def test_readiness_names_what_is_missing(http: aiohttp.ClientSession) -> None:
    async with http.get("/readyz") as answer:
        assert answer.status == 503
        checks = (await answer.json())["checks"]
    assert {name: check["ok"] for name, check in checks.items()} == {
        "postgres": True,
        "migrations": True,
        "redis": True,
        "workers": False,
    }
    assert "start `jobrunner worker`" in checks["workers"]["detail"]


async def test_a_start_is_over_once_all_but_workers_was_well_and_stays_so(
    runtime: Runtime, http: aiohttp.ClientSession
) -> None:
    async with http.get("/startupz") as answer:
        assert (answer.status, set((await answer.json())["checks"])) == (200, {"postgres", "migrations", "redis"})
    await runtime.store._db.pool.close()
    for path, status in (("/readyz", 503), ("/startupz", 200)):
        async with http.get(path) as answer:
            assert answer.status == status


async def test_readiness_without_migrations_and_without_redis(
    empty_database_url: str, settings: Settings, tmp_path: Path
) -> None:
    nowhere = settings.model_copy(
        update={
            "database_url": SecretStr(empty_database_url),
            "redis_url": SecretStr(f"unix://{tmp_path}/nobody.sock"),
        }
    )
    async with opened(nowhere) as runtime, serving(runtime) as url, aiohttp.ClientSession(url) as http:
        async with http.get("/readyz") as answer:
            assert answer.status == 503
            checks = (await answer.json())["checks"]
        assert [name for name, check in checks.items() if check["ok"]] == ["postgres"]
        assert "init" in checks["migrations"]["detail"]
        assert "Redis did not answer" in checks["redis"]["detail"]
        async with http.get("/startupz") as answer:
            assert answer.status == 503
        async with http.get("/v1/jobs") as answer:
            document = await problem(answer, 503, "unavailable")
        assert "jobrunner migrate" in document["detail"]


async def test_a_bug_of_ours_shows_an_id_and_not_its_words(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def search(*_: object) -> None:
        raise KeyError("hunter2")

    monkeypatch.setattr(Client, "search", search)
    heard: list[Event] = []
    with subscribe(heard.append):
        async with http.get("/v1/jobs", headers={"X-Request-Id": "r-17"}) as answer:
            document = await problem(answer, 500, "internal_error")
    assert "r-17" in document["detail"]
    assert "hunter2" not in document["detail"]
    assert "api.error" in [each.name for each in heard]


async def test_readiness_answers_while_postgres_hangs(
    runtime: Runtime, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobrunner.api.ops.CHECK_S", 0.05)
    async with runtime.store._db.pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE public.jobrunner_migrations IN ACCESS EXCLUSIVE MODE")
        async with http.get("/readyz") as answer:
            assert answer.status == 503
            checks = (await answer.json())["checks"]
    assert "no answer within" in checks["postgres"]["detail"]


async def test_postgres_away_is_503_and_never_a_false_202(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    for database in (runtime.store._db, runtime.store._db.by_key):
        await database.pool.close()
    async with http.post("/v1/jobs", json=submission()) as answer:
        document = await problem(answer, 503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
    assert document["retryable"] is True


async def test_redis_away_is_still_202(settings: Settings, tmp_path: Path) -> None:
    away = settings.model_copy(update={"redis_url": SecretStr(f"unix://{tmp_path}/nobody.sock")})
    async with opened(away) as runtime, serving(runtime) as url, aiohttp.ClientSession(url) as http:
        await submit(http)
