"""Runway's peculiarities: what its DELETE does, why it fails, what it makes of a wish, and URLs that are renewed."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from jobrunner.errors import PermanentError
from jobrunner.net import Net
from jobrunner.providers.driver import Failed, Finished, Running
from jobrunner.providers.runway import Runway
from jobrunner.request import VideoRequest
from jobrunner.sandbox.app import running
from jobrunner.settings.tables import Provider
from jobrunner.work import Handle
from tests.integration.drivers.conftest import SUBJECTS, Bench, Fake
from tests.integration.drivers.inputs import PICTURE

HANDLE = Handle("runway", "t1")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with running(tmp_path / "sandbox", speed=40.0) as sandbox:
        (tmp_path / "spool").mkdir()
        made = Bench(SUBJECTS["runway"], sandbox.base_url, tmp_path / "spool")
        yield made
        await made.aclose()


@pytest.fixture
async def runway(fake: Fake) -> AsyncIterator[Runway]:
    driver = Runway(Net(), Provider(base_url=fake.url, api_key=SecretStr("canary")))
    yield driver
    await driver.aclose()


async def test_what_is_finished_is_never_deleted_by_a_cancel(fake: Fake, runway: Runway) -> None:
    fake.answers = [{"status": "SUCCEEDED"}, {"status": "FAILED"}, {"status": "CANCELLED"}]
    assert [await runway.cancel(HANDLE) for _ in range(3)] == ["too_late", "too_late", "cancelled"]
    assert {method for method, _ in fake.seen} == {"GET"}


@pytest.mark.parametrize(
    ("code", "expected", "retryable"),
    [
        ("SAFETY.INPUT.TEXT", "content_policy", False),
        ("SAFETY.OUTPUT.VIDEO", "content_policy", False),
        ("INPUT_PREPROCESSING.SAFETY.TEXT", "content_policy", False),
        ("ASSET.INVALID", "invalid_input", False),
        ("INTERNAL.BAD_OUTPUT.CODE01", "transient", True),
        ("INPUT_PREPROCESSING.INTERNAL", "transient", True),
        ("THIRD_PARTY.UNAVAILABLE", "transient", True),
        (None, "transient", True),
    ],
)
async def test_a_failure_code_decides_whether_a_new_task_may_help(
    fake: Fake,
    runway: Runway,
    code: str | None,
    expected: str,
    *,
    retryable: bool,
) -> None:
    fake.answers = [{"status": "FAILED", "failure": "no", "failureCode": code}]
    ended = await runway.poll(HANDLE)
    assert isinstance(ended, Failed)
    assert (ended.error.code, ended.error.retryable, ended.error.provider_code) == (expected, retryable, code)


@pytest.mark.parametrize(
    ("task", "progress"),
    [
        ({"status": "THROTTLED"}, None),
        ({"status": "PENDING"}, None),
        ({"status": "RUNNING", "progress": 0.25}, 0.25),
        ({"status": "WARMING"}, None),
    ],
)
async def test_work_that_waits_or_runs_is_polled_again_in_five_seconds(
    fake: Fake,
    runway: Runway,
    task: dict[str, Any],
    progress: float | None,
) -> None:
    fake.answers = [task]
    assert await runway.poll(HANDLE) == Running(progress, 5.0)


async def test_an_url_that_ran_out_is_renewed_by_polling_again(bench: Bench) -> None:
    handle = await bench.submit("a cat")
    finished = await bench.ended(handle)
    old = replace(finished.outputs[0], url=re.sub(r"expires=\d+", "expires=1", finished.outputs[0].url or ""))
    with pytest.raises(PermanentError) as gone:
        await bench.driver.fetch(old, bench.spool)
    assert gone.value.code == "artifact_expired"
    again = await bench.ended(handle)
    assert (await bench.driver.fetch(again.outputs[0], bench.spool)).stat().st_size > 0


async def test_deleting_what_is_finished_takes_it_away(bench: Bench) -> None:
    handle = await bench.submit("a cat")
    assert isinstance(handle, Handle)
    assert isinstance(await bench.ended(handle), Finished)
    headers = {"Authorization": "Bearer test-key", "X-Runway-Version": "2024-11-06"}
    async with aiohttp.ClientSession(bench.base_url, headers=headers) as http:
        assert (await http.delete(f"/runway/v1/tasks/{handle.id}")).status == 204
        assert (await http.get(f"/runway/v1/tasks/{handle.id}")).status == 404


async def test_without_its_version_header_nothing_is_answered(bench: Bench) -> None:
    async with bench.admin.get("/runway/v1/tasks/t1", headers={"Authorization": "Bearer test-key"}) as answer:
        assert answer.status == 400
        assert "X-Runway-Version" in (await answer.json())["error"]


@pytest.mark.parametrize(
    ("model", "wish", "made"),
    [
        ("gen4.5", VideoRequest("x", 5.4, (1920, 1080)), ("1280:720", 5)),
        ("gen4.5", VideoRequest("x", 60.0, (600, 800)), ("720:1280", 10)),
        ("gen4.5", VideoRequest("x", 1.0, (800, 600), image=PICTURE), ("1104:832", 2)),
        ("gen4_turbo", VideoRequest("x", 5.0, (500, 500), image=PICTURE), ("960:960", 5)),
        ("veo3.1", VideoRequest("x", 5.1, (1920, 1080)), ("1920:1080", 6)),
    ],
)
def test_the_nearest_shape_and_length_are_ordered(model: str, wish: VideoRequest, made: tuple[str, int]) -> None:
    plan = Runway(Net(), Provider()).prepare(model, wish)
    assert (plan.body["ratio"], plan.body["duration"]) == made
    assert plan.endpoint == ("v1/text_to_video" if wish.image is None else "v1/image_to_video")


@pytest.mark.parametrize(
    ("model", "wish", "field"),
    [
        ("gen2", VideoRequest("x"), "model"),
        ("gen4_turbo", VideoRequest("x"), "image"),
        ("gen4.5", VideoRequest("x" * 1001), "prompt"),
        ("gen4.5", VideoRequest("\N{GRINNING FACE}" * 501), "prompt"),
        ("gen4.5", VideoRequest("x", image=replace(PICTURE, size_bytes=4_000_000)), "image"),
        ("gen4.5", VideoRequest("x", image=replace(PICTURE, mime="image/gif")), "image"),
    ],
)
def test_what_a_model_does_not_take_is_refused_before_it_is_sent(model: str, wish: VideoRequest, field: str) -> None:
    with pytest.raises(PermanentError, match=f"runway: `{field}`") as refused:
        Runway(Net(), Provider()).prepare(model, wish)
    assert refused.value.code == "unsupported_input"
