"""OpenAI's own SDK, pointed at the sandbox by its base URL and changed in nothing else."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from openai.types import ImagesResponse
from pydantic import BaseModel

from jobrunner.media import sniff
from jobrunner.media.examining import media_info
from jobrunner.sandbox.app import running
from jobrunner.sandbox.artists import artist
from jobrunner.sandbox.openai.extraction import LABEL
from tests.receiver import Receiver

MODEL = "gpt-5.4-mini"


class Tale(BaseModel):
    title: str
    notes: str


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        running(tmp_path, speed=40.0) as sandbox,
        openai.AsyncOpenAI(api_key="test-key", base_url=f"{sandbox.base_url}/openai/v1") as client,
    ):
        yield client


def decoded(answer: ImagesResponse) -> bytes:
    return base64.b64decode((answer.data or [])[0].b64_json or "")


async def test_pictures_are_drawn_and_edited(client: openai.AsyncOpenAI) -> None:
    drawn = await client.images.generate(model="gpt-image-2", prompt="a hill", size="64x64")
    hill = decoded(drawn)
    edited = await client.images.edit(
        model="gpt-image-2", image=[("a.png", hill), ("b.png", artist.draw("a dog", 1, 64, 64))], prompt="at night"
    )
    assert (sniff(decoded(edited)), edited.size) == ("image/png", "64x64")
    assert decoded(edited) != hill


async def test_speech_is_streamed_to_a_file(client: openai.AsyncOpenAI, tmp_path: Path) -> None:
    path = tmp_path / "speech"
    order = client.audio.speech.with_streaming_response.create(model="tts-1", voice="nova", input="Hello, hello.")
    async with order as speech:
        await speech.stream_to_file(path)
    info = await asyncio.to_thread(media_info, path)
    assert (info.mime, (info.duration_s or 0) > 0.5) == ("audio/mpeg", True)


async def test_a_chat_parses_into_a_model(client: openai.AsyncOpenAI) -> None:
    completion = await client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": "A tall tale."}], response_format=Tale
    )
    tale = completion.choices[0].message.parsed
    assert tale is not None
    assert tale.title == "A tall tale"
    assert LABEL in tale.notes


async def test_a_chat_streams_and_tells_its_usage_last(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "A tall tale."}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == f"[{LABEL}] A tall tale."
    assert chunks[-1].usage is not None


async def test_a_response_runs_in_the_background(client: openai.AsyncOpenAI) -> None:
    made = await client.responses.create(model=MODEL, input="A tall tale.", background=True)
    assert made.status == "queued"
    while made.status in ("queued", "in_progress"):
        await asyncio.sleep(0.005)
        made = await client.responses.retrieve(made.id)
    assert made.status == "completed"
    assert made.output_text == f"[{LABEL}] A tall tale."
    assert made.usage is not None


async def test_a_response_in_the_background_is_cancelled(client: openai.AsyncOpenAI) -> None:
    made = await client.responses.create(model=MODEL, input="A tale. [hang]", background=True)
    assert (await client.responses.cancel(made.id)).status == "cancelled"


@pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")
async def test_a_video_is_made_downloaded_listed_and_deleted(client: openai.AsyncOpenAI, tmp_path: Path) -> None:
    hill = artist.draw("a hill", 1, 64, 64)
    made = await client.videos.create(prompt="a hill", model="sora-2", seconds="4", input_reference=("a.png", hill))
    assert (made.status, made.size, made.progress) == ("queued", "720x1280", 0)
    done = await client.videos.poll(made.id)
    assert (done.status, done.progress, (done.expires_at or 0) > (done.completed_at or 0)) == ("completed", 100, True)
    (tmp_path / "clip").write_bytes((await client.videos.download_content(made.id)).content)
    info = media_info(tmp_path / "clip")
    assert (info.mime, info.width, info.height, info.duration_s) == ("video/mp4", 720, 1280, 4.0)
    assert sniff((await client.videos.download_content(made.id, variant="thumbnail")).content) == "image/webp"
    with pytest.raises(openai.BadRequestError, match="no spritesheet"):
        await client.videos.download_content(made.id, variant="spritesheet")
    others = [(await client.videos.create(prompt=f"{number} [hang]")).id for number in range(2)]
    assert [video.id async for video in client.videos.list(limit=2)] == [*others[::-1], made.id]
    assert [video.id async for video in client.videos.list(limit=2, order="asc")] == [made.id, *others]
    assert (await client.videos.delete(made.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.videos.retrieve(made.id)


@pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")
async def test_a_flagged_video_fails_and_says_why(client: openai.AsyncOpenAI) -> None:
    failed = await client.videos.create_and_poll(prompt="x [moderation]")
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("failed", "moderation_blocked")
    with pytest.raises(openai.NotFoundError, match="not ready; its status is failed"):
        await client.videos.download_content(failed.id)
    with pytest.raises(openai.BadRequestError, match="4, 8, 12"):
        await client.videos.create(prompt="x", seconds="5")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")
async def test_webhooks_are_registered_and_unwrapped(client: openai.AsyncOpenAI, receiver: Receiver) -> None:
    endpoint = await client.webhooks.create(
        name="jobs", url=receiver.url, event_types=["response.completed", "response.cancelled", "video.failed"]
    )
    written = await client.responses.create(model=MODEL, input="A tall tale.", background=True)
    stopped = await client.responses.create(model=MODEL, input="A tale. [hang]", background=True)
    await client.responses.cancel(stopped.id)
    filmed = await client.videos.create(prompt="x [fail]")
    posts = [await receiver.next() for _ in range(3)]
    secret = endpoint.signing_secret
    events = [client.webhooks.unwrap(post.raw, post.headers, secret=secret).to_dict() for post in posts]
    assert {(event["type"], event["data"]["id"]) for event in events} == {  # type: ignore[index]
        ("response.completed", written.id),
        ("response.cancelled", stopped.id),
        ("video.failed", filmed.id),
    }
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(posts[0].raw + b" ", posts[0].headers, secret=secret)
    assert (await client.webhooks.delete(endpoint.id)).deleted
    assert [each.id async for each in client.webhooks.list()] == []


async def test_a_webhook_that_would_leave_the_machine_is_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="calls this machine only"):
        await client.webhooks.create(name="out", url="https://example.com/hook", event_types=["response.failed"])


async def test_a_rate_limit_is_waited_out(client: openai.AsyncOpenAI) -> None:
    made = await client.responses.create(model=MODEL, input="A tale. [429]", background=True)
    assert (await client.responses.retrieve(made.id)).id == made.id
    with pytest.raises(openai.RateLimitError) as error:
        await client.with_options(max_retries=0).images.generate(model="gpt-image-2", prompt="x [429]")
    assert (error.value.code, error.value.response.headers["retry-after"]) == ("rate_limit_exceeded", "1")


async def test_refusals_arrive_as_its_own_errors(client: openai.AsyncOpenAI) -> None:
    patient = client.with_options(max_retries=0)
    with pytest.raises(openai.BadRequestError, match="safety system"):
        await patient.images.generate(model="gpt-image-2", prompt="x [moderation]")
    with pytest.raises(openai.RateLimitError, match="quota"):
        await patient.responses.create(model=MODEL, input="x [quota]")
    with pytest.raises(openai.NotFoundError):
        await patient.responses.retrieve("resp_none")
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="wrong").models.list()
