"""The port of a worker's own: what it answers while the worker is well, and while it is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from jobrunner import events
from jobrunner.declare import TaskContext
from jobrunner.errors import ConfigError, Unavailable
from jobrunner.request import ImageRequest
from jobrunner.runtime import Runtime, opened, with_sandbox
from jobrunner.sandbox.app import Sandbox
from jobrunner.settings import Settings
from jobrunner.settings.tables import Worker
from jobrunner.store.leases import Leases
from jobrunner.worker import pulse
from jobrunner.worker.claims import Claims
from jobrunner.worker.loop import WorkerLoop
from jobrunner.worker.probing import probing
from tests.integration.worker.conftest import Heard, act, ended, play, until
from tests.workers import at_work


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"worker": settings.worker.model_copy(update={"probe_port": 0})})


@dataclass(frozen=True)
class Asked:
    """A worker's port, and a session that asks it."""

    worker: WorkerLoop
    http: aiohttp.ClientSession

    async def probe(self, path: str) -> tuple[int, set[str]]:
        """The status, and which checks are red."""
        async with self.http.get(path) as answer:
            body = await answer.json()
        assert (answer.status == 200) == (body["status"] == "ok")
        return answer.status, {name for name, check in body["checks"].items() if not check["ok"]}

    async def figures(self) -> str:
        async with self.http.get("/metrics") as answer:
            assert (answer.status, answer.content_type) == (200, "text/plain")
            return await answer.text()


@asynccontextmanager
async def probed(runtime: Runtime) -> AsyncIterator[Asked]:
    worker = WorkerLoop(runtime)
    async with probing(worker, runtime) as url, aiohttp.ClientSession(url) as http:
        yield Asked(worker, http)


async def test_a_worker_is_ready_from_its_first_claim_until_it_leaves(runtime: Runtime, heard: Heard) -> None:
    draining = asyncio.Event()

    async def wait(ctx: TaskContext) -> None:
        await draining.wait()

    async with probed(runtime) as asked:
        assert await asked.probe("/startupz") == (503, {"worker"})
        assert await asked.probe("/livez") == (200, set())
        async with at_work(asked.worker, leaves_within_s=15):
            for path in ("/livez", "/readyz", "/startupz"):
                assert await asked.probe(path) == (200, set())
            await play.delay(act=act(wait))
            await heard.until("job.started")
            asked.worker.stop()
            assert await asked.probe("/readyz") == (503, {"worker"})
            assert await asked.probe("/livez") == (200, set())
            draining.set()


async def test_a_claim_loop_that_hangs_is_red_while_its_process_answers(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    async with probed(runtime) as asked:
        monkeypatch.setattr(pulse, "STALE_S", 0.2)
        monkeypatch.setattr(Claims, "take", hang)
        running = asyncio.create_task(asked.worker.run())

        async def red() -> bool:
            return await asked.probe("/livez") == (503, {"claims"})

        await until(red)
        assert (await asked.probe("/readyz"))[0] == 503
        running.cancel()
        await asyncio.wait([running])


async def test_a_full_worker_rests_and_is_well(
    settings: Settings, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(ctx: TaskContext) -> None:
        await asyncio.Event().wait()

    one = settings.model_copy(update={"worker": Worker(max_jobs=1, lease_s=1, drain_s=0, probe_port=0)})
    async with opened(one) as runtime, probed(runtime) as asked, at_work(asked.worker, leaves_within_s=15):
        await play.delay(act=act(forever))
        await heard.until("job.started")
        monkeypatch.setattr(pulse, "STALE_S", 0.0)
        assert await asked.probe("/livez") == (200, set())
        assert "jobrunner_in_flight 1.0" in await asked.figures()


async def test_a_lease_that_ran_out_makes_it_unready_and_not_dead(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise Unavailable("Postgres did not answer.")

    async with probed(runtime) as asked, at_work(asked.worker, leaves_within_s=15):
        with monkeypatch.context() as patch:
            patch.setattr(Leases, "renew", away)

            async def red() -> bool:
                return await asked.probe("/readyz") == (503, {"lease"})

            await until(red)
            assert await asked.probe("/livez") == (200, set())

        async def well() -> bool:
            return await asked.probe("/readyz") == (200, set())

        await until(well)


async def test_what_it_did_and_what_it_paid_is_told(settings: Settings, sandbox: Sandbox) -> None:
    async def draw(ctx: TaskContext) -> None:
        await ctx.generate(ImageRequest(prompt="a lighthouse"))

    async with (
        opened(with_sandbox(settings, sandbox.base_url)) as runtime,
        probed(runtime) as asked,
        at_work(asked.worker, leaves_within_s=15),
    ):
        job = await play.delay(act=act(draw))
        await ended(runtime, job.id)
        figures = (await asked.figures()).splitlines()
    for line in (
        'jobrunner_jobs_submitted_total{task="play"} 1.0',
        'jobrunner_jobs_ended_total{status="completed",task="play"} 1.0',
        'jobrunner_pickup_seconds_count{task="play"} 1.0',
        'jobrunner_run_seconds_count{task="play"} 1.0',
        'jobrunner_provider_calls_total{outcome="ok",provider="replicate",verb="submit"} 1.0',
        'jobrunner_purchase_seconds_count{provider="replicate"} 1.0',
        "jobrunner_slots 20.0",
        "jobrunner_in_flight 0.0",
    ):
        assert line in figures
    for name in ("jobrunner_lease_age_seconds", "jobrunner_loop_lag_seconds", "jobrunner_pool_connections"):
        assert any(line.startswith(f"{name} ") for line in figures)


async def test_without_a_port_nothing_is_counted(settings: Settings) -> None:
    silent = settings.model_copy(update={"worker": Worker()})
    async with opened(silent) as runtime:
        before = list(events._listeners)
        async with probing(WorkerLoop(runtime), runtime) as url:
            assert url is None
            assert events._listeners == before


async def test_a_port_that_is_taken_is_said(runtime: Runtime, settings: Settings) -> None:
    async with probed(runtime) as asked:
        assert asked.http._base_url is not None
        taken = settings.model_copy(update={"worker": Worker(probe_port=asked.http._base_url.port)})
        async with opened(taken) as other:
            with pytest.raises(ConfigError, match=r"worker\.probe_port: nothing can listen on"):
                await probing(WorkerLoop(other), other).__aenter__()
