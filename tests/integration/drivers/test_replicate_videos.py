"""Videos at Replicate: what a wish becomes, and first frames too large for the request itself."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jobrunner.errors import SubmitUnknown, TransientError
from jobrunner.media.examining import media_info
from jobrunner.net import Net
from jobrunner.providers.replicate import INLINE_BYTES, Replicate
from jobrunner.request import ImageEdit, Request, VideoRequest
from jobrunner.sandbox.app import running
from jobrunner.settings.tables import Provider
from jobrunner.work import Intent, file_mark
from tests.integration.drivers.conftest import SUBJECTS, Bench, orphans
from tests.integration.drivers.inputs import PICTURE

MODEL = "bytedance/seedance-2.0-fast"
LARGE = replace(PICTURE, size_bytes=INLINE_BYTES)
"""It only says so: what decides is the size that is known of the file."""


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with running(tmp_path / "sandbox", speed=40.0) as sandbox:
        (tmp_path / "spool").mkdir()
        made = Bench(SUBJECTS["replicate video"], sandbox.base_url, tmp_path / "spool")
        yield made
        await made.aclose()


def animated(bench: Bench) -> Intent:
    return Intent("k", bench.driver.prepare(MODEL, VideoRequest("a hill", 4.0, (640, 480), image=LARGE, seed=1)))


async def test_a_large_first_frame_is_uploaded_before_anything_is_bought(bench: Bench) -> None:
    finished = await bench.ended(await bench.driver.submit(animated(bench), bench.desk))
    [film] = await bench.files(finished)
    info = media_info(film)
    assert (info.kind, info.width, info.height, info.duration_s) == ("video", 640, 480, 4.0)
    assert len(await bench.purchases()) == 1


async def test_an_upload_that_goes_wrong_is_no_unknown_submit(bench: Bench, unused_tcp_port: int) -> None:
    away = bench.another(base_url=f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(TransientError) as error:
        await away.submit(animated(bench), bench.desk)
    assert type(error.value) is TransientError


@pytest.mark.parametrize(
    ("model", "wish"),
    [
        (MODEL, VideoRequest("a hill", 4.0, (640, 480), image=LARGE, seed=1)),
        ("google/nano-banana", ImageEdit(LARGE, "at night")),
    ],
)
async def test_an_orphan_is_found_whatever_its_files_were_called(bench: Bench, model: str, wish: Request) -> None:
    intent = Intent("k", bench.driver.prepare(model, wish))
    await bench.fail("create", "reset")
    with pytest.raises(SubmitUnknown):
        await bench.driver.submit(intent, bench.desk)
    [orphan] = await bench.purchases()
    assert [handle.id for handle in await orphans(bench.driver, intent, 0.0)] == [orphan["id"]]


@pytest.mark.parametrize(
    ("wish", "made"),
    [
        (VideoRequest("x", 5.4, (1280, 720)), {"duration": 5, "resolution": "720p", "aspect_ratio": "16:9"}),
        (VideoRequest("x", 1.0, (480, 640)), {"duration": 4, "resolution": "480p", "aspect_ratio": "3:4"}),
        (VideoRequest("x", 30.0, (2160, 2160), seed=7), {"duration": 12, "seed": 7, "aspect_ratio": "1:1"}),
        (VideoRequest("x", image=PICTURE), {"image": file_mark(PICTURE)}),
    ],
)
def test_a_wish_becomes_what_every_seedance_model_makes(wish: VideoRequest, made: dict[str, Any]) -> None:
    plan = Replicate(Net(), Provider()).prepare(MODEL, wish)
    assert made.items() <= plan.body["input"].items()
    assert plan.files == (() if wish.image is None else (PICTURE,))
