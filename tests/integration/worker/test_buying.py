"""Pictures bought from the sandbox through real drivers: kept, hashed, bought once, cancelled upstream."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from PIL import Image

from jobrunner.declare import TaskContext
from jobrunner.errors import Retry
from jobrunner.job import Status
from jobrunner.media.examining import media_info
from jobrunner.request import ImageRequest
from jobrunner.runtime import Runtime, opened, with_sandbox
from jobrunner.sandbox import ledger
from jobrunner.sandbox.app import Sandbox
from jobrunner.settings import Settings
from jobrunner.store.rows import Step
from jobrunner.tasks.image import ImageResult, generate_scene_image
from tests.integration.worker.conftest import SOON_S, act, ended, play, until, working

REPLICATE, OPENAI = "replicate:black-forest-labs/flux-schnell", "openai:gpt-image-2"


@pytest.fixture
def settings(settings: Settings, sandbox: Sandbox) -> Settings:
    return with_sandbox(settings.model_copy(update={"routes": {"image": (REPLICATE,)}}), sandbox.base_url)


async def scene(description: str) -> Any:
    return await generate_scene_image.delay(scene_description=description, scene_number=1, user_id="u1")


async def step_under_way(runtime: Runtime, id: UUID) -> Step:
    async def running_step() -> Step | None:
        return next((step for step in await runtime.client.steps(id) if step.state == "running"), None)

    step = await until(running_step)
    assert isinstance(step, Step)
    return step


@pytest.mark.parametrize("route", [REPLICATE, OPENAI])
async def test_a_picture_is_ours_before_the_row_says_so(route: str, settings: Settings, sold: Path) -> None:
    async with opened(settings.model_copy(update={"routes": {"image": (route,)}})) as runtime, working(runtime):
        job = await scene("a lighthouse at dusk")
        result = await job.result(SOON_S)
        assert isinstance(result, ImageResult)
        row = await ended(runtime, job.id)
        [artifact] = await runtime.client.artifacts([job.id])
        file = runtime.artifacts.path(artifact.key)
        steps = await runtime.client.steps(job.id)
    assert (row.result_url, result.url) == (artifact.url, artifact.url)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == artifact.sha256
    assert file.stat().st_size == artifact.size_bytes
    info = media_info(file)
    assert (
        (info.mime, info.width, info.height)
        == ("image/png", artifact.width, artifact.height)
        == (
            result.mime,
            result.width,
            result.height,
        )
    )
    assert [(step.name, step.state, step.sequence) for step in steps] == [("generate", "done", 1)]
    assert list((settings.directory / "spool").iterdir()) == []
    assert len(ledger.read(sold)) == 1


async def test_a_job_handed_back_goes_on_with_the_same_purchase(runtime: Runtime, sold: Path) -> None:
    async with working(runtime):
        job = await scene("a slow boat [slow]")
        bought = await step_under_way(runtime, job.id)
    handed = await runtime.client.get(job.id)
    assert (handed.status, handed.failures, handed.crashes, handed.fence) == (Status.PENDING, 0, 0, 1)
    async with working(runtime):
        await job.result(SOON_S)
    row, [step] = await ended(runtime, job.id), await runtime.client.steps(job.id)
    assert (row.fence, row.failures, step.handle) == (2, 0, bought.handle)
    assert len(ledger.read(sold)) == 1


async def test_cancelling_a_job_cancels_its_work_at_the_provider(
    runtime: Runtime, sandbox: Sandbox, sold: Path
) -> None:
    async with working(runtime), aiohttp.ClientSession(headers={"Authorization": "Bearer test-key"}) as http:
        job = await scene("a boat that hangs [hang]")
        step = await step_under_way(runtime, job.id)
        await job.cancel()
        row = await ended(runtime, job.id)
        assert row.error is not None
        assert (row.status, row.error["upstream"]) == (Status.CANCELLED, {"generate": "cancelled"})
        assert step.handle is not None
        async with http.get(f"{sandbox.base_url}/replicate/v1/predictions/{step.handle.id}") as answer:
            assert (await answer.json())["status"] == "canceled"


async def test_an_attempt_that_fails_after_its_purchase_does_not_buy_again(runtime: Runtime, sold: Path) -> None:
    async def work(ctx: TaskContext) -> list[str]:
        made = await ctx.generate(ImageRequest("a kite", size=(64, 64)))
        if ctx.job.fence == 1:
            raise Retry(after=0.01)
        return [str(artifact.id) for artifact in made.artifacts]

    async with working(runtime):
        job = await play.delay(act=act(work))
        result = await job.result(SOON_S)
    assert result.value == [str(artifact.id) for artifact in await runtime.client.artifacts([job.id])]
    assert len(ledger.read(sold)) == 1


async def test_a_file_that_the_task_made_is_kept_once(runtime: Runtime, tmp_path: Path) -> None:
    async def work(ctx: TaskContext) -> str:
        path = tmp_path / f"own-{ctx.job.fence}.png"
        await asyncio.to_thread(Image.new("RGB", (30, 20)).save, path)
        artifact = await ctx.save(path, kind="image")
        if ctx.job.fence == 1:
            raise Retry(after=0.01)
        return str(artifact.id)

    async with working(runtime):
        job = await play.delay(act=act(work))
        result = await job.result(SOON_S)
    [artifact] = await runtime.client.artifacts([job.id])
    assert (result.value, artifact.width, artifact.height) == (str(artifact.id), 30, 20)
    assert runtime.artifacts.path(artifact.key).is_file()
