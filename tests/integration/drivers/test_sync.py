"""sync.so's peculiarities: its key, what its errors mean, a file that is too large, and work that nobody can cancel."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from jobrunner.errors import AttemptError, PermanentError, SubmitUnknown, TransientError
from jobrunner.net import Net
from jobrunner.providers.driver import Desk, Failed, Finished, Running
from jobrunner.providers.sync import Sync, key_of
from jobrunner.request import ImageRequest, LipsyncRequest
from jobrunner.settings.tables import Provider
from jobrunner.work import Handle, Intent
from tests.integration.drivers.conftest import at_loopback
from tests.integration.drivers.inputs import CLIP, content, sound

HANDLE = Handle("sync", "g1")
REQUEST = LipsyncRequest(CLIP, sound("a voice"), "bounce")


class Fake:
    """sync.so as far as a test tells it what to answer; `seen` is what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.seen: list[tuple[str, str | None, dict[str, Any]]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["x-api-key"] == "canary"
        form: dict[str, Any] = {}
        for name, field in (await request.post()).items():
            if isinstance(field, web.FileField):
                with field.file:
                    form[name] = (field.filename, field.content_type, field.file.read())
            else:
                form[name] = field
        self.seen.append((request.method, request.headers.get("Idempotency-Key"), form))
        status, answer = self.answers.pop(0)
        return web.json_response(answer, status=status)


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    made = Fake()
    async with at_loopback(made.handle) as made.url:
        yield made


@pytest.fixture
async def sync(fake: Fake) -> AsyncIterator[Sync]:
    driver = Sync(Net(), Provider(base_url=fake.url, api_key=SecretStr("canary")))
    yield driver
    await driver.aclose()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    for file in (REQUEST.video, REQUEST.audio):
        (tmp_path / file.key).write_bytes(content(file))
    return Desk(tmp_path, lambda artifact: tmp_path / artifact.key)


def intent(sync: Sync, key: str = "0192-ab:lip sync:1") -> Intent:
    return Intent(key, sync.prepare("lipsync-2", REQUEST))


async def test_both_files_and_the_key_go_in_one_request(fake: Fake, sync: Sync, desk: Desk) -> None:
    fake.answers = [(201, {"id": "g1", "status": "PENDING"})]
    assert (await sync.submit(intent(sync), desk)).id == "g1"
    [(method, key, form)] = fake.seen
    assert (method, key) == ("POST", key_of(intent(sync)))
    assert form == {
        "model": "lipsync-2",
        "options": '{"sync_mode":"bounce"}',
        "video": ("video.mp4", "video/mp4", content(CLIP)),
        "audio": ("audio.wav", "audio/wav", content(REQUEST.audio)),
    }


def test_a_key_is_always_the_same_and_of_its_intent_alone() -> None:
    sync = Sync(Net(), Provider())
    written = ["0192-ab:lip sync:1", "0192-ab:lip:sync:1", "0192-ab:lip~sync~1", "0192-ab:лип:1", "a" * 300]
    keys = [key_of(intent(sync, each)) for each in written]
    assert keys == [key_of(intent(sync, each)) for each in written]
    assert len({*keys}) == len(written)
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{1,128}", key) for key in keys)
    assert keys[0].startswith("0192-ab~")


@pytest.mark.parametrize(
    ("status", "answer", "kind", "code"),
    [
        (400, {"message": ["input: no video", "model: unknown"]}, PermanentError, "invalid_input"),
        (400, {"message": "bad", "errorCode": "INVALID_IDEMPOTENCY_KEY"}, PermanentError, "invalid_input"),
        (402, {"message": "Payment Required"}, PermanentError, "provider_quota"),
        (413, {"message": "File too large", "error": "Payload Too Large"}, PermanentError, "invalid_input"),
        (409, {"message": "other", "errorCode": "IDEMPOTENCY_KEY_CONFLICT"}, PermanentError, "invalid_input"),
        (409, {"message": "wait", "errorCode": "IDEMPOTENCY_IN_PROGRESS"}, SubmitUnknown, "submit_outcome_unknown"),
        (503, {"message": "?", "errorCode": "IDEMPOTENCY_OUTCOME_UNKNOWN"}, SubmitUnknown, "submit_outcome_unknown"),
        (500, {"message": "Internal server error"}, TransientError, "transient"),
    ],
)
async def test_a_refusal_tells_whether_the_work_may_be_under_way(
    fake: Fake, sync: Sync, desk: Desk, *, status: int, answer: dict[str, Any], kind: type[AttemptError], code: str
) -> None:
    fake.answers = [(status, {"statusCode": status} | answer)]
    with pytest.raises(kind) as error:
        await sync.submit(intent(sync), desk)
    assert (type(error.value), error.value.code) == (kind, code)
    assert error.value.provider_code == answer.get("errorCode")
    message = answer["message"]
    assert ("; ".join(message) if isinstance(message, list) else message) in str(error.value)


async def test_an_unknown_outcome_that_names_its_generation_is_followed(fake: Fake, sync: Sync, desk: Desk) -> None:
    unknown = {"message": "?", "errorCode": "IDEMPOTENCY_OUTCOME_UNKNOWN"}
    fake.answers = [(503, unknown | {"generationId": "g7"}), (503, unknown | {"generationId": "../g8"})]
    assert (await sync.submit(intent(sync), desk)).id == "g7"
    with pytest.raises(SubmitUnknown):
        await sync.submit(intent(sync), desk)


@pytest.mark.parametrize(
    ("generation", "code", "retryable"),
    [
        ({"status": "FAILED", "error_code": "generation_audio_missing"}, "invalid_input", False),
        ({"status": "FAILED", "errorCode": "generation_unsupported_model"}, "invalid_input", False),
        ({"status": "FAILED", "error_code": "generation_pipeline_failed"}, "transient", True),
        ({"status": "FAILED", "error_code": "generation_timeout"}, "transient", True),
        ({"status": "FAILED", "error": "It broke"}, "provider_failed", False),
        ({"status": "TIMED_OUT"}, "transient", True),
        ({"status": "REJECTED", "error": "flagged by moderation"}, "content_policy", False),
        ({"status": "CANCELLED"}, "provider_cancelled", False),
        ({"status": "COMPLETED", "outputUrl": None}, "provider_no_output", False),
    ],
)
async def test_a_generation_that_ended_badly_says_whether_another_may_go_well(
    fake: Fake, sync: Sync, generation: dict[str, Any], code: str, *, retryable: bool
) -> None:
    fake.answers = [(200, generation)]
    ended = await sync.poll(HANDLE)
    assert isinstance(ended, Failed)
    assert (ended.error.code, ended.error.retryable) == (code, retryable)
    assert ended.error.provider_code == (generation.get("error_code") or generation.get("errorCode"))


async def test_an_output_without_an_ending_is_a_video_and_an_unknown_status_is_polled_again(
    fake: Fake, sync: Sync
) -> None:
    fake.answers = [(200, {"status": "WARMING"}), (200, {"status": "COMPLETED", "outputUrl": "https://h/1?x=y"})]
    assert await sync.poll(HANDLE) == Running()
    ended = await sync.poll(HANDLE)
    assert isinstance(ended, Finished)
    assert [(output.kind, output.url) for output in ended.outputs] == [("video", "https://h/1?x=y")]


async def test_a_cancel_asks_only_whether_it_is_too_late(fake: Fake, sync: Sync) -> None:
    fake.answers = [(200, {"status": "PROCESSING"}), (200, {"status": "TIMED_OUT"}), (404, {"message": "no"})]
    assert [await sync.cancel(HANDLE) for _ in range(3)] == ["unknown", "too_late", "unknown"]
    assert {method for method, _, _ in fake.seen} == {"GET"}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ImageRequest("a cat"), "route"),
        (replace(REQUEST, video=replace(CLIP, size_bytes=20_000_001)), "video"),
        (replace(REQUEST, audio=replace(REQUEST.audio, size_bytes=20_000_001)), "audio"),
    ],
)
def test_what_it_does_not_take_is_refused_before_it_is_sent(request_: Any, field: str) -> None:
    with pytest.raises(PermanentError, match=f"sync: `{field}`") as refused:
        Sync(Net(), Provider()).prepare("lipsync-2", request_)
    assert refused.value.code == "unsupported_input"
