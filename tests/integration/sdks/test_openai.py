"""OpenAI's own SDK, pointed at the sandbox by its base URL and changed in nothing else."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from openai.types import ImagesResponse
from pydantic import BaseModel

from jobrunner.media import media_info, sniff
from jobrunner.sandbox import artist
from jobrunner.sandbox.app import running
from jobrunner.sandbox.openai.extraction import LABEL

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
