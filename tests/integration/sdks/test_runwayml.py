"""Runway's own SDK, pointed at the sandbox by its base URL and changed in nothing else."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import runwayml
from runwayml.lib import polling
from runwayml.types.task_retrieve_response import Failed, Succeeded

from jobrunner.media.examining import media_info
from jobrunner.sandbox.app import Sandbox, running
from jobrunner.sandbox.artists import artist


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with running(tmp_path / "sandbox", speed=40.0) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[runwayml.AsyncRunwayML]:
    monkeypatch.setattr(polling, "POLL_TIME", 0.02)  # the SDK asks every six seconds
    monkeypatch.setattr(polling, "POLL_JITTER", 0.0)
    async with runwayml.AsyncRunwayML(api_key="test-key", base_url=f"{sandbox.base_url}/runway") as client:
        yield client


async def test_a_picture_becomes_a_clip(client: runwayml.AsyncRunwayML, tmp_path: Path) -> None:
    picture = base64.b64encode(artist.draw("a hill", 1, 64, 64)).decode()
    created = await client.image_to_video.create(
        model="gen4_turbo", prompt_image=f"data:image/png;base64,{picture}", ratio="960:960", duration=2
    )
    task = await created.wait_for_task_output()
    assert isinstance(task, Succeeded)
    assert task.cost.credits == 10
    async with aiohttp.ClientSession() as http, http.get(task.output[0]) as answer:
        (tmp_path / "clip").write_bytes(await answer.read())
    info = media_info(tmp_path / "clip")
    assert (info.mime, info.width, info.height, info.duration_s) == ("video/mp4", 960, 960, 2.0)


async def test_failures_and_refusals_arrive_as_its_own_errors(client: runwayml.AsyncRunwayML) -> None:
    flagged = await client.text_to_video.create(
        model="gen4.5", prompt_text="a cat [moderation]", ratio="1280:720", duration=2
    )
    with pytest.raises(polling.TaskFailedError) as failed:
        await flagged.wait_for_task_output()
    assert isinstance(failed.value.task_details, Failed)
    assert failed.value.task_details.failure_code == "SAFETY.INPUT.TEXT"
    patient = client.with_options(max_retries=0)
    with pytest.raises(runwayml.BadRequestError, match="not have enough credits"):
        await patient.text_to_video.create(model="gen4.5", prompt_text="[quota]", ratio="1280:720", duration=2)
    with pytest.raises(runwayml.RateLimitError) as limited:
        await patient.text_to_video.create(model="gen4.5", prompt_text="[429]", ratio="1280:720", duration=2)
    assert limited.value.response.headers["retry-after"] == "1"
    with pytest.raises(runwayml.BadRequestError):
        await client.text_to_video.create(model="gen4.5", prompt_text="", ratio="1280:720", duration=2)
    with pytest.raises(runwayml.AuthenticationError):
        await client.with_options(api_key="wrong").tasks.retrieve(flagged.id)


async def test_running_work_is_cancelled_and_then_deleted(client: runwayml.AsyncRunwayML) -> None:
    hanging = await client.text_to_video.create(
        model="gen4.5", prompt_text="a cat [hang]", ratio="1280:720", duration=2
    )
    await client.tasks.delete(hanging.id)
    assert (await client.tasks.retrieve(hanging.id)).status == "CANCELLED"
    await client.tasks.delete(hanging.id)
    with pytest.raises(runwayml.NotFoundError):
        await client.tasks.retrieve(hanging.id)
