"""Text, speech and edits as OpenAI and its look-alikes are known or feared to answer, and the sandbox does not."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from pydantic import SecretStr

from jobrunner.errors import AttemptError, PermanentError, SubmitUnknown, TransientError
from jobrunner.events import Event, subscribe
from jobrunner.net import Net
from jobrunner.providers.driver import Desk, Failed, Finished, Running
from jobrunner.providers.openai import OpenAI
from jobrunner.request import ImageEdit, ImageRequest, Request, SpeechRequest, TextRequest
from jobrunner.settings.tables import Provider
from jobrunner.work import Artifact, Handle, Intent, Money
from tests.integration.drivers.conftest import at_loopback

HANDLE = Handle("openai", "resp_1")
QUESTION = TextRequest("Be brief.", "Why?")
SOUND = b"ID3\x04" + bytes(100)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Fake:
    """Answers what it is given, JSON or a handler; `parts` is what a form held, `paths` where it was asked."""

    answer: Any = None
    paths: list[str] = field(default_factory=list)
    parts: list[tuple[str, Any]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(f"{request.method} {request.path}")
        if request.content_type.startswith("multipart/"):
            for name, value in (await request.post()).items():
                if isinstance(value, web.FileField):
                    with value.file as file:
                        self.parts.append((name, (value.filename, value.content_type, file.read())))
                else:
                    self.parts.append((name, value))
        return await self.answer(request) if callable(self.answer) else web.json_response(self.answer)


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    made = Fake()
    async with at_loopback(made.handle) as made.url:
        yield made


@pytest.fixture
async def openai(fake: Fake) -> AsyncIterator[OpenAI]:
    driver = OpenAI(Net(), Provider(base_url=f"{fake.url}/v1", api_key=SecretStr("canary")))
    yield driver
    await driver.aclose()


async def send(openai: OpenAI, spool: Path, request: Request, model: str = "chat/m") -> Handle | Finished:
    desk = Desk(spool, lambda artifact: spool / artifact.key)
    return await openai.submit(Intent("k", openai.prepare(model, request)), desk)


def response(status: str, *contents: Any, **more: Any) -> dict[str, Any]:
    output = [{"type": "reasoning", "summary": []}, {"type": "message", "content": list(contents)}]
    return {"id": "resp_1", "status": status, "output": output, "usage": {"total_tokens": 7}} | more


def choice(content: str | None, reason: str = "stop", **more: Any) -> dict[str, Any]:
    return {"id": "c1", "choices": [{"message": {"content": content, **more}, "finish_reason": reason}]}


async def test_all_the_text_of_a_response_is_its_answer(fake: Fake, openai: OpenAI) -> None:
    fake.answer = response("completed", {"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"})
    ended = await openai.poll(HANDLE)
    assert isinstance(ended, Finished)
    assert (ended.text, ended.cost, ended.meta["id"]) == ("ab", Money(Decimal(7), "tokens"), "resp_1")
    assert fake.paths == ["GET /v1/responses/resp_1"]


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        (response("completed"), "provider_no_output", False),
        (response("completed", {"type": "refusal", "refusal": "I cannot."}), "content_policy", False),
        (response("cancelled"), "provider_cancelled", False),
        (response("incomplete", incomplete_details={"reason": "content_filter"}), "content_policy", False),
        (response("incomplete", incomplete_details={"reason": "max_output_tokens"}), "provider_truncated", False),
        (response("incomplete", incomplete_details=None), "provider_truncated", False),
        (response("failed", error={"code": "server_error", "message": "oops"}), "transient", True),
        (response("failed", error={"code": "rate_limit_exceeded", "message": "later"}), "transient", True),
        (response("failed", error={"code": "invalid_prompt", "message": "no"}), "provider_failed", False),
        (
            response("failed", error={"code": "bio_policy", "message": "no"}),
            "content_policy",
            False,
        ),
        (response("failed", error=None), "provider_failed", False),
    ],
)
async def test_every_bad_end_of_a_response_has_its_code(
    fake: Fake, openai: OpenAI, answer: Any, code: str, *, retryable: bool
) -> None:
    fake.answer = answer
    ended = await openai.poll(HANDLE)
    assert isinstance(ended, Failed)
    assert (ended.error.code, ended.error.retryable, ended.error.provider) == (code, retryable, "openai")


async def test_a_status_that_nobody_knows_is_running_and_said_once(fake: Fake, openai: OpenAI) -> None:
    heard: list[Event] = []
    with subscribe(heard.append):
        for status in ("queued", "pondering", "pondering", "in_progress"):
            fake.answer = response(status)
            assert await openai.poll(HANDLE) == Running()
    assert [event.fields["status"] for event in heard] == ["pondering"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"id": "../admin"}, SubmitUnknown),
        ({"id": None}, SubmitUnknown),
        ({"error": {"code": "server_error", "message": "busy"}}, TransientError),
        ({"error": {"code": "model_not_found", "message": "no"}}, PermanentError),
    ],
)
async def test_a_response_without_a_usable_id_is_no_handle(
    fake: Fake, openai: OpenAI, tmp_path: Path, answer: Any, kind: type[AttemptError]
) -> None:
    fake.answer = answer
    with pytest.raises(kind) as error:
        await send(openai, tmp_path, QUESTION, "m")
    assert type(error.value) is kind


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (choice(None, refusal="I cannot."), (PermanentError, "content_policy")),
        (choice("half", "content_filter"), (PermanentError, "content_policy")),
        (choice("half", "length"), (PermanentError, "provider_truncated")),
        (choice(None), (SubmitUnknown, "submit_outcome_unknown")),
        ({"choices": []}, (SubmitUnknown, "submit_outcome_unknown")),
        ({"choices": ["text"]}, (SubmitUnknown, "submit_outcome_unknown")),
        ({"error": {"code": "server_error", "message": "busy"}}, (TransientError, "transient")),
    ],
)
async def test_a_chat_without_a_whole_answer_fails(
    fake: Fake, openai: OpenAI, tmp_path: Path, answer: Any, meaning: tuple[type[AttemptError], str]
) -> None:
    fake.answer = answer
    with pytest.raises(AttemptError) as error:
        await send(openai, tmp_path, QUESTION)
    assert (type(error.value), error.value.code) == meaning


async def test_a_chat_that_counts_nothing_costs_nothing_that_is_known(
    fake: Fake, openai: OpenAI, tmp_path: Path
) -> None:
    fake.answer = choice("because")
    assert await send(openai, tmp_path, QUESTION) == Finished((), {"id": "c1"}, None, "because")


def spoken(*pieces: bytes, cut: bool = False) -> Answer:
    """Chunks without a length, whose last one is missing where the stream is cut."""

    async def answer(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "audio/mpeg"})
        await stream.prepare(request)
        for piece in pieces:
            await stream.write(piece)
        if cut and request.transport is not None:
            request.transport.close()
        return stream

    return answer


async def test_speech_in_chunks_is_kept_as_one_file(fake: Fake, openai: OpenAI, tmp_path: Path) -> None:
    fake.answer = spoken(SOUND, SOUND)
    finished = await send(openai, tmp_path, SpeechRequest("Hello.", "nova"))
    assert isinstance(finished, Finished)
    (output,) = finished.outputs
    assert output.path is not None
    assert (output.mime, output.path.read_bytes(), finished.cost) == ("audio/mpeg", SOUND * 2, None)


@pytest.mark.parametrize(
    "answer", [spoken(SOUND, cut=True), spoken(b"no sound"), spoken()], ids=["cut", "text", "none"]
)
async def test_speech_that_is_cut_or_no_sound_is_paid_for_and_lost(
    fake: Fake, openai: OpenAI, tmp_path: Path, answer: Answer
) -> None:
    fake.answer = answer
    with pytest.raises(SubmitUnknown):
        await send(openai, tmp_path, SpeechRequest("Hello.", "nova"))
    assert list(tmp_path.iterdir()) == []


def picture(number: int, directory: Path) -> Artifact:
    (directory / f"{number}.png").write_bytes(b"picture %d" % number)
    return Artifact(UUID(int=number), None, "image", "image/png", 9, "00", f"{number}.png", 8, 8)


@pytest.mark.parametrize("number", [1, 2])
async def test_one_picture_is_the_part_image_and_several_are_a_list(
    fake: Fake, openai: OpenAI, tmp_path: Path, number: int
) -> None:
    fake.answer = {"data": [{"url": "https://h/1.png"}]}
    pictures = tuple(picture(each, tmp_path) for each in range(number))
    await send(openai, tmp_path, ImageRequest("both", references=pictures), "gpt-image-2")
    name = "image" if number == 1 else "image[]"
    files = [(name, (f"{each}.png", "image/png", b"picture %d" % each)) for each in range(number)]
    told = {"model": "gpt-image-2", "prompt": "both", "n": "1", "size": "auto", "output_format": "png"}
    assert fake.paths == ["POST /v1/images/edits"]
    assert fake.parts == [*files, *told.items()]


async def test_a_mask_goes_beside_the_picture(fake: Fake, openai: OpenAI, tmp_path: Path) -> None:
    fake.answer = {"data": [{"url": "https://h/1.png"}]}
    await send(openai, tmp_path, ImageEdit(picture(1, tmp_path), "x", mask=picture(2, tmp_path)), "gpt-image-2")
    assert ("mask", ("2.png", "image/png", b"picture 2")) in fake.parts
