"""The lipsync task through each of its routes, and a purchase whose answer was lost and whose key finds it again."""

import base64
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jobrunner.media.examining import media_info
from jobrunner.runtime import Runtime, opened, with_sandbox
from jobrunner.sandbox import ledger
from jobrunner.sandbox.app import Sandbox
from jobrunner.settings import Settings
from jobrunner.settings.tables import ROUTES
from jobrunner.tasks.lipsync import lipsync_video
from jobrunner.tasks.video import VideoResult
from tests.integration.drivers.inputs import clip, titled
from tests.integration.worker.conftest import SOON_S, working


@pytest.fixture
def settings(settings: Settings, sandbox: Sandbox) -> Settings:
    return with_sandbox(settings, sandbox.base_url)


async def ordered() -> Any:
    video, audio = (
        f"data:{mime};base64,{base64.b64encode(file).decode()}"
        for mime, file in (("video/mp4", clip()), ("audio/wav", titled("a voice")))
    )
    return await lipsync_video.delay(video=video, audio=audio, sync_mode="loop", user_id="u1")


@pytest.mark.parametrize("route", ROUTES["lipsync"])
async def test_each_route_brings_a_video_with_sound(route: str, settings: Settings, tmp_path: Path) -> None:
    async with opened(settings.model_copy(update={"routes": {"lipsync": (route,)}})) as runtime, working(runtime):
        job = await ordered()
        result = await job.result(SOON_S)
        assert isinstance(result, VideoResult)
        row = await runtime.client.get(job.id)
        made = next(each for each in await runtime.client.artifacts([job.id]) if str(each.id) == result.artifact_id)
        info = media_info(runtime.artifacts.path(made.key))
    assert row.result_url == result.url == made.url
    assert (info.mime, info.has_audio, info.width, info.height) == ("video/mp4", True, 64, 64)
    assert result.duration_s == pytest.approx(0.5, abs=0.1)
    [bought] = ledger.read(tmp_path / "sandbox")
    assert bought.provider == route.partition(":")[0]


async def test_a_purchase_whose_answer_was_lost_is_found_again_by_its_key(
    runtime: Runtime, sandbox: Sandbox, tmp_path: Path
) -> None:
    fault = {"provider": "sync", "on": "create", "fail": "reset", "count": 1}
    async with aiohttp.ClientSession(sandbox.base_url) as http, http.post("/admin/faults", json=fault):
        pass
    async with working(runtime):
        job = await ordered()
        await job.result(SOON_S)
        row = await runtime.client.get(job.id)
    assert row.failures == 1
    assert [bought.provider for bought in ledger.read(tmp_path / "sandbox")] == ["sync"]
