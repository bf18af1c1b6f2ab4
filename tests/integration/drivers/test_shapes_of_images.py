"""Answers that providers and their look-alikes are known or feared to give, and that the sandbox does not."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from jobrunner.errors import AttemptError, PermanentError, RateLimited, SubmitUnknown, TransientError
from jobrunner.events import Event, subscribe
from jobrunner.net import Net
from jobrunner.providers import answers
from jobrunner.providers.driver import Desk, Failed, Finished, Running
from jobrunner.providers.openai import OpenAI
from jobrunner.providers.replicate import Replicate
from jobrunner.request import ImageRequest
from jobrunner.settings.tables import Provider
from jobrunner.work import Handle, Intent, Output
from tests.integration.drivers.conftest import Fake, orphans


def desk(spool: Path) -> Desk:
    return Desk(spool, lambda artifact: spool / artifact.key)


HANDLE = Handle("replicate", "p1", urls={"get": "https://evil.example/p1"})


@pytest.fixture
async def replicate(fake: Fake) -> AsyncIterator[Replicate]:
    driver = Replicate(Net(), Provider(base_url=fake.url, api_key=SecretStr("canary")))
    yield driver
    await driver.aclose()


@pytest.fixture
async def openai(fake: Fake) -> AsyncIterator[OpenAI]:
    driver = OpenAI(Net(), Provider(base_url=f"{fake.url}/v1/", api_key=SecretStr("canary")))
    yield driver
    await driver.aclose()


def names_in(directory: Path) -> list[str]:
    return [file.name for file in directory.iterdir()]


def flux(replicate: Replicate) -> Intent:
    return Intent("k", replicate.prepare("black-forest-labs/flux-schnell", ImageRequest("a cat")))


async def test_polling_asks_the_base_url_whatever_urls_say(fake: Fake, replicate: Replicate) -> None:
    fake.answers = [{"id": "p1", "status": "processing", "logs": "seed 7\n  0%|   | 0/4\n 50%|##  | 2/4\n"}]
    assert await replicate.poll(HANDLE) == Running(0.5)
    assert fake.seen == [("GET", "/v1/predictions/p1")]


async def test_an_unknown_status_is_still_running_and_said_once(fake: Fake, replicate: Replicate) -> None:
    fake.answers = [{"status": "warming"}, {"status": "warming"}, {"status": None}, {"status": "processing"}]
    heard: list[Event] = []
    with subscribe(heard.append):
        assert [await replicate.poll(HANDLE) for _ in range(4)] == [Running()] * 4
    assert [event.fields["status"] for event in heard] == ["warming", "None"]


@pytest.mark.parametrize(
    ("prediction", "code", "retryable"),
    [
        ({"status": "aborted"}, "provider_aborted", True),
        ({"status": "canceled"}, "provider_cancelled", False),
        ({"status": "succeeded", "output": None, "data_removed": True}, "artifact_expired", False),
        ({"status": "succeeded", "output": None}, "provider_no_output", False),
        ({"status": "succeeded", "output": ["just", "words"]}, "provider_no_output", False),
        ({"status": "failed", "error": "E1000: unknown"}, "transient", True),
        ({"status": "failed", "error": "Out of memory (E1001)"}, "provider_failed", False),
        ({"status": "failed", "error": "NSFW content detected"}, "content_policy", False),
        ({"status": "failed", "error": None}, "provider_failed", False),
    ],
)
async def test_every_bad_end_has_its_code(
    fake: Fake, replicate: Replicate, prediction: dict[str, Any], code: str, *, retryable: bool
) -> None:
    fake.answers = [prediction]
    ended = await replicate.poll(HANDLE)
    assert isinstance(ended, Failed)
    assert (ended.error.code, ended.error.retryable, ended.error.provider) == (code, retryable, "replicate")


async def test_a_single_picture_may_come_inline(fake: Fake, replicate: Replicate, tmp_path: Path) -> None:
    fake.answers = [{"id": "p1", "status": "succeeded", "output": "data:image/png;base64,iVBORw0="}]
    ended = await replicate.poll(HANDLE)
    assert isinstance(ended, Finished)
    assert (await replicate.fetch(ended.outputs[0], tmp_path)).read_bytes() == b"\x89PNG\r"


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_any_good_status_accepts_a_create(fake: Fake, replicate: Replicate, tmp_path: Path, status: int) -> None:
    fake.answers = [web.json_response({"id": "p1", "created_at": "2026-11-23T12:00:00.5Z"}, status=status)]
    assert await replicate.submit(flux(replicate), desk(tmp_path)) == Handle(
        "replicate", "p1", submitted_at=1795435200.5
    )


@pytest.mark.parametrize("answer", [{"id": "../../admin"}, {"id": None}, {}, [], {"id": "p1?x"}])
async def test_a_create_without_a_usable_id_is_unknown(
    fake: Fake, replicate: Replicate, tmp_path: Path, answer: Any
) -> None:
    fake.answers = [answer]
    with pytest.raises(SubmitUnknown):
        await replicate.submit(flux(replicate), desk(tmp_path))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (web.Response(status=502, text="<html>Bad gateway</html>"), SubmitUnknown),
        (web.Response(status=504), SubmitUnknown),
        (web.Response(status=503, text="<html>"), SubmitUnknown),
        (web.json_response({"detail": "overloaded"}, status=503), TransientError),
        (web.Response(status=302, headers={"Location": "https://evil.example/"}), PermanentError),
        (web.json_response({"detail": "Your rate limit resets in ~30s."}, status=429), RateLimited),
    ],
)
async def test_who_refused_a_create_decides(
    fake: Fake, replicate: Replicate, tmp_path: Path, answer: Any, kind: Any
) -> None:
    fake.answers = [answer]
    with pytest.raises(kind) as error:
        await replicate.submit(flux(replicate), desk(tmp_path))
    assert type(error.value) is kind


async def test_the_list_is_read_page_by_page_until_it_is_too_old(fake: Fake, replicate: Replicate) -> None:
    intent = flux(replicate)
    same = {"model": "black-forest-labs/flux-schnell", "version": "hidden", "input": dict(intent.plan.body["input"])}

    def row(name: str, minute: int, **other: Any) -> dict[str, Any]:
        return same | {"id": name, "created_at": f"2026-11-23T12:{minute:02}:00Z"} | other

    fake.answers = [
        {
            "next": "https://evil.example/v1/predictions?cursor=a%2Bb%3D",
            "results": [row("p5", 9, input={}), row("p4", 8)],
        },
        {"next": "x", "results": [row("../p", 7), row("p3", 6, model="other/model"), row("p2", 5), row("p1", 1)]},
    ]
    found = await orphans(replicate, intent, since=1795435200.0 + 2 * 60)
    assert [handle.id for handle in found] == ["p4", "p2"]
    assert [path for _, path in fake.seen] == ["/v1/predictions", "/v1/predictions?cursor=a%2Bb%3D"]


async def test_an_answer_too_large_to_hold_is_dropped(
    fake: Fake, replicate: Replicate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "JSON_BYTES", 1000)
    fake.answers = [{"status": "succeeded", "output": "x" * 1000}]
    with pytest.raises(TransientError, match="more than 1,000 bytes"):
        await replicate.poll(HANDLE)


async def test_a_look_alike_may_answer_urls(fake: Fake, openai: OpenAI, tmp_path: Path) -> None:
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()
    fake.answers = [
        {"data": [{"url": "https://h/1.png"}, {"b64_json": picture, "revised_prompt": "x"}, {"b64_json": None}]}
    ]
    finished = await openai.submit(Intent("k", openai.prepare("local-model", ImageRequest("a cat"))), desk(tmp_path))
    assert isinstance(finished, Finished)
    assert finished.outputs[0] == Output("image", url="https://h/1.png")
    assert [output.mime for output in finished.outputs] == [None, "image/png"]
    assert fake.seen == [("POST", "/v1/images/generations")]
    assert [tmp_path / name for name in names_in(tmp_path)] == [finished.outputs[1].path]


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        ({"error": {"message": "no", "code": "moderation_blocked"}}, (PermanentError, "content_policy")),
        ({"error": {"message": "busy", "type": "server_error"}}, (TransientError, "transient")),
        ({"error": "out of order"}, (PermanentError, "provider_failed")),
        ({"data": []}, (SubmitUnknown, "submit_outcome_unknown")),
        ({"data": None}, (SubmitUnknown, "submit_outcome_unknown")),
        ({"data": [{"b64_json": "not base64!"}]}, (SubmitUnknown, "submit_outcome_unknown")),
        ([], (SubmitUnknown, "submit_outcome_unknown")),
        (web.Response(body=b""), (SubmitUnknown, "submit_outcome_unknown")),
    ],
)
async def test_a_good_status_may_hide_a_failure(
    fake: Fake, openai: OpenAI, tmp_path: Path, answer: Any, meaning: tuple[type[AttemptError], str]
) -> None:
    fake.answers = [answer]
    with pytest.raises(meaning[0]) as error:
        await openai.submit(Intent("k", openai.prepare("gpt-image-2", ImageRequest("a cat"))), desk(tmp_path))
    assert (type(error.value), error.value.code) == meaning
    assert names_in(tmp_path) == []
