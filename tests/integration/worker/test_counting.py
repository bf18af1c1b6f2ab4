"""What a worker counts and says of itself reaches Postgres, once, and costs an idle one nothing."""

import asyncio
from typing import Any

import aiohttp
import asyncpg
import orjson
import pytest

from jobrunner.errors import Unavailable
from jobrunner.job import Status
from jobrunner.runtime import Runtime, opened, with_sandbox
from jobrunner.sandbox.app import Sandbox
from jobrunner.settings import Settings
from jobrunner.store.database import Database
from jobrunner.store.minutes import Minutes, added
from jobrunner.tasks.image import generate_scene_image
from tests.integration.worker.conftest import SOON_S, act, ended, play, until, working


async def counted(runtime: Runtime, name: str) -> Any:
    hour = await runtime.store.minutes.last_hour()
    return added(tally for (_, each), minutes in hour.items() if each == name for tally in minutes.values())


async def nothing(_: Any) -> None: ...


async def breaks(_: Any) -> None:
    raise ValueError("no")


async def test_a_worker_counts_what_ends(runtime: Runtime) -> None:
    async with working(runtime):
        jobs = [await play.delay(act=act(each)) for each in (nothing, nothing, breaks)]
        for job in jobs:
            await ended(runtime, job.id)
    tally = await counted(runtime, "play")
    assert tally.counts == {"completed": 2, "failed": 1}
    assert sum(tally.seconds.values()) == 2
    assert 0 < tally.median_s < SOON_S


async def test_two_workers_one_after_the_other_add_up(runtime: Runtime) -> None:
    for _ in range(2):
        async with working(runtime):
            await ended(runtime, (await play.delay(act=act(nothing))).id)
    assert (await counted(runtime, "play")).counts == {"completed": 2}


async def test_counts_wait_for_postgres_and_are_written_once(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    save, tried = Minutes.save, asyncio.Event()

    async def lost(self: Minutes, *values: Any) -> None:
        """The commit is made, and its answer is lost."""
        await save(self, *values)
        tried.set()
        raise Unavailable("gone")

    async with working(runtime):
        monkeypatch.setattr(Minutes, "save", lost)
        await ended(runtime, (await play.delay(act=act(nothing))).id)
        async with asyncio.timeout(SOON_S):
            await tried.wait()
        monkeypatch.undo()
    assert (await counted(runtime, "play")).counts == {"completed": 1}


async def test_an_idle_worker_writes_its_heartbeat_and_no_more(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, database: asyncpg.Connection
) -> None:
    rows, statements = Database.rows, list[str]()

    async def heard(self: Database, name: str, *values: Any) -> Any:
        statements.append(name)
        return await rows(self, name, *values)

    async with working(runtime) as worker:
        monkeypatch.setattr(Database, "rows", heard)

        async def beaten() -> bool:
            return statements.count("renew_lease") >= 2

        await until(beaten)
        monkeypatch.undo()
        [said] = await database.fetch("SELECT stats FROM jobrunner.workers")
        assert worker.ready.is_set()
    assert "save_minutes" not in statements
    assert orjson.loads(said["stats"])["providers"] == {}
    assert await database.fetchval("SELECT count(*) FROM jobrunner.minutes") == 0


# ---- providers ---------------------------------------------------------------------------------


class TestBuying:
    @pytest.fixture
    def settings(self, settings: Settings, sandbox: Sandbox) -> Settings:
        bought = {"image": ("replicate:black-forest-labs/flux-schnell",)}
        return with_sandbox(settings.model_copy(update={"routes": bought}), sandbox.base_url)

    async def test_purchases_are_counted_timed_and_added_up(self, settings: Settings) -> None:
        async with opened(settings) as runtime:
            async with working(runtime):
                job = await generate_scene_image.delay(scene_description="a cat", scene_number=1, user_id="u1")
                assert (await ended(runtime, job.id)).status is Status.COMPLETED
            tally = await counted(runtime, "replicate")
        assert tally.counts == {"calls": 1}
        assert tally.median_s is not None
        assert set(tally.spent) == {"seconds"}

    async def test_a_provider_s_limit_is_counted_and_told_with_the_heartbeat(
        self, settings: Settings, sandbox: Sandbox, database: asyncpg.Connection
    ) -> None:
        async with opened(settings) as runtime:
            async with working(runtime):
                fault = {"fail": "429", "provider": "replicate", "retry_after": "600"}
                async with aiohttp.ClientSession(sandbox.base_url) as http, http.post("/admin/faults", json=fault):
                    await generate_scene_image.delay(scene_description="a cat", scene_number=1, user_id="u1")

                async def told() -> Any:
                    return await database.fetchval("SELECT stats -> 'providers' -> 'replicate' FROM jobrunner.workers")

                said = orjson.loads(await until(told))
                standing = await runtime.store.overview.of_all()
            limited = await counted(runtime, "replicate")
        assert said["state"] == "limited"
        assert [each.provider for each in standing.open if each.pending] == ["replicate"]
        assert limited.counts["limited"] >= 1
