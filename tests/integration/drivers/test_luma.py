"""Luma's peculiarities: a list without an order, no pictures but by public URL, and a DELETE that promises nothing."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from jobrunner.errors import PermanentError
from jobrunner.net import Net
from jobrunner.providers.driver import Failed
from jobrunner.providers.luma import Luma
from jobrunner.request import VideoRequest
from jobrunner.settings.tables import Provider
from jobrunner.work import Handle, Intent
from tests.integration.drivers.conftest import Fake, orphans
from tests.integration.drivers.inputs import PICTURE

HANDLE = Handle("luma", "g1")
NOON = 1795435200.0


@pytest.fixture
async def luma(fake: Fake) -> AsyncIterator[Luma]:
    driver = Luma(Net(), Provider(base_url=f"{fake.url}/dream-machine/v1", api_key=SecretStr("canary")))
    yield driver
    await driver.aclose()


async def test_the_whole_list_is_read_and_only_the_same_request_since_then_counts(
    fake: Fake,
    luma: Luma,
) -> None:
    intent = Intent("k", luma.prepare("ray-2", VideoRequest("a cat")))
    same = {"request": {**intent.plan.body, "keyframes": None}}
    fake.answers = [
        {
            "has_more": True,
            "generations": [
                {"id": "g1", "created_at": "2026-11-23T11:59:00Z", **same},
                {"id": "g2", "created_at": "2026-11-23T12:01:00Z", **same},
                {"id": "g3", "created_at": "2026-11-23T12:02:00Z", "request": {**same["request"], "prompt": "a dog"}},
                {"id": "../g4", "created_at": "2026-11-23T12:03:00Z", **same},
                {"id": "g5", "created_at": "2026-11-23T12:03:00Z", "request": None},
            ],
        },
        {"has_more": False, "generations": [{"id": "g6", "created_at": "2026-11-23T12:04:00Z", **same}]},
    ]
    found = await orphans(luma, intent, since=NOON)
    assert [(handle.id, handle.submitted_at - NOON) for handle in found] == [("g2", 60.0), ("g6", 240.0)]
    offsets = [path.rpartition("offset=")[2] for _, path in fake.seen]
    assert offsets == ["0", "100"]


async def test_a_cancel_looks_first_and_promises_nothing(fake: Fake, luma: Luma) -> None:
    fake.answers = [{"state": "completed"}, {"state": "dreaming"}, {}]
    assert [await luma.cancel(HANDLE), await luma.cancel(HANDLE)] == ["too_late", "unknown"]
    assert [method for method, _ in fake.seen] == ["GET", "GET", "DELETE"]


async def test_success_without_a_video_is_a_failure(fake: Fake, luma: Luma) -> None:
    fake.answers = [{"state": "completed", "assets": {"image": "https://h/1.jpg"}}]
    ended = await luma.poll(HANDLE)
    assert isinstance(ended, Failed)
    assert ended.error.code == "provider_no_output"


@pytest.mark.parametrize(
    ("wish", "made"),
    [
        (VideoRequest("x", 5.0, (1280, 720)), ("16:9", "5s", "720p")),
        (VideoRequest("x", 8.0, (1080, 1920)), ("9:16", "9s", "1080p")),
        (VideoRequest("x", 2.0, (500, 500)), ("1:1", "5s", "540p")),
    ],
)
def test_the_nearest_shape_and_length_are_ordered(wish: VideoRequest, made: tuple[str, str, str]) -> None:
    body = Luma(Net(), Provider()).prepare("ray-2", wish).body
    assert (body["aspect_ratio"], body["duration"], body["resolution"]) == made


def test_a_first_frame_is_refused_since_it_would_need_a_public_url() -> None:
    with pytest.raises(PermanentError, match="public https URLs") as refused:
        Luma(Net(), Provider()).prepare("ray-2", VideoRequest("x", image=PICTURE))
    assert refused.value.code == "unsupported_input"
