"""OpenAI-style videos: odd answers, pages of a list, and a key that stays at home."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from jobrunner.errors import PermanentError, SubmitUnknown, TransientError
from jobrunner.net import Net
from jobrunner.providers.driver import Desk, Failed, Finished, Running
from jobrunner.providers.openai import OpenAI
from jobrunner.request import VideoRequest
from jobrunner.settings.tables import Provider
from jobrunner.work import Handle, Intent, Output
from tests.integration.drivers.conftest import Fake, orphans

HANDLE = Handle("openai", "videos/v1")
NOON = 1795435200


@pytest.fixture
async def openai(fake: Fake) -> AsyncIterator[OpenAI]:
    net = Net([fake.url.removeprefix("http://")])
    driver = OpenAI(net, Provider(base_url=fake.url, api_key=SecretStr("canary")))
    yield driver
    await driver.aclose()
    await net.aclose()


@pytest.fixture
def intent(openai: OpenAI) -> Intent:
    return Intent("k", openai.prepare("sora-2", VideoRequest("a cat", 5.0)))


@pytest.mark.parametrize(
    ("told", "headers", "expected"),
    [
        ({"status": "queued", "progress": 0}, {"openai-poll-after-ms": "2500"}, Running(0.0, 2.5)),
        ({"status": "in_progress", "progress": 42}, {}, Running(0.42)),
        ({"status": "in_progress", "progress": 900}, {"openai-poll-after-ms": "9999999"}, Running(1.0, 60.0)),
        ({"status": "rendering", "progress": None}, {"openai-poll-after-ms": "soon"}, Running()),
    ],
)
async def test_what_is_not_over_is_running(
    fake: Fake, openai: OpenAI, told: dict[str, Any], headers: dict[str, str], expected: Running
) -> None:
    fake.answers = [web.json_response({"id": "v1", **told}, headers=headers)]
    assert await openai.poll(HANDLE) == expected


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        ({"code": "moderation_blocked", "message": "blocked"}, "content_policy", PermanentError),
        ({"code": "server_error", "message": "try again"}, "transient", TransientError),
        ("went wrong", "provider_failed", PermanentError),
        (None, "provider_failed", PermanentError),
    ],
)
async def test_a_failure_is_judged_by_its_code(
    fake: Fake, openai: OpenAI, error: Any, code: str, kind: type[Exception]
) -> None:
    fake.answers = [{"id": "v1", "status": "failed", "error": error}]
    ended = await openai.poll(HANDLE)
    assert isinstance(ended, Failed)
    assert (type(ended.error), ended.error.code) == (kind, code)


@pytest.mark.parametrize("id", [None, "../v1", "v1/content", ""])
async def test_a_video_without_a_plain_id_is_an_unknown_submit(
    fake: Fake, openai: OpenAI, intent: Intent, tmp_path: Path, id: str | None
) -> None:
    fake.answers = [{"id": id, "status": "queued"}]
    with pytest.raises(SubmitUnknown):
        await openai.submit(intent, Desk(tmp_path, lambda _: tmp_path))


async def test_an_error_under_http_200_is_a_refusal(fake: Fake, openai: OpenAI, intent: Intent, tmp_path: Path) -> None:
    fake.answers = [{"error": {"code": "model_not_found", "message": "no such model"}}]
    with pytest.raises(PermanentError, match="no such model"):
        await openai.submit(intent, Desk(tmp_path, lambda _: tmp_path))


async def test_the_list_is_read_back_to_the_second_of_the_submit(fake: Fake, openai: OpenAI, intent: Intent) -> None:
    same = {"object": "video", "status": "queued", **intent.plan.body}

    def page(*videos: dict[str, Any], has_more: bool) -> dict[str, Any]:
        return {"object": "list", "data": [*videos], "has_more": has_more}

    fake.answers = [
        page({"id": "v4", "created_at": NOON + 9, **same}, {"id": "v3", "created_at": NOON + 5}, has_more=True),
        page(
            {"id": "v2", "created_at": NOON + 5, **same, "prompt": "a dog"},
            {"id": "v1", "created_at": NOON, **same},
            {"id": "v0", "created_at": NOON - 1, **same},
            has_more=True,
        ),
    ]
    found = await orphans(openai, intent, since=NOON + 0.7)
    assert [(handle.id, handle.submitted_at) for handle in found] == [("videos/v4", NOON + 9), ("videos/v1", NOON)]
    assert [path for _, path in fake.seen] == [
        "/videos?limit=100&order=desc",
        "/videos?limit=100&order=desc&after=v3",
    ]


async def test_the_content_is_fetched_with_the_key_and_only_at_home(fake: Fake, openai: OpenAI, tmp_path: Path) -> None:
    fake.answers = [{"id": "v1", "status": "completed", "url": "https://elsewhere.example/v1.mp4"}]
    finished = await openai.poll(HANDLE)
    assert isinstance(finished, Finished)
    fake.answers = [web.Response(body=b"a clip", content_type="video/mp4")]
    path = await openai.fetch(finished.outputs[0], tmp_path)
    assert (path.read_bytes(), fake.seen[-1]) == (b"a clip", ("GET", "/videos/v1/content"))
    fake.answers = [web.Response(status=302, headers={"Location": "http://127.0.0.1:1/elsewhere"})]
    with pytest.raises(PermanentError) as redirected:
        await openai.fetch(finished.outputs[0], tmp_path)
    assert redirected.value.code == "provider_redirects"


async def test_an_url_that_is_no_content_is_fetched_without_the_key(fake: Fake, openai: OpenAI, tmp_path: Path) -> None:
    fake.authorization = ""
    fake.answers = [web.Response(body=b"a picture")]
    path = await openai.fetch(Output("image", url=f"{fake.url}/videos/v1/content"), tmp_path)
    assert path.read_bytes() == b"a picture"
