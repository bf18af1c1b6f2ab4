"""Luma's own SDK, pointed at the sandbox by its base URL and changed in nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import lumaai
import pytest

from jobrunner.media.examining import media_info
from jobrunner.sandbox.app import running
from tests.receiver import Receiver


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[lumaai.AsyncLumaAI]:
    async with running(tmp_path / "sandbox", speed=40.0) as sandbox:
        at = f"{sandbox.base_url}/luma/dream-machine/v1"
        async with lumaai.AsyncLumaAI(auth_token="test-key", base_url=at) as client:
            yield client


async def test_words_become_a_clip(client: lumaai.AsyncLumaAI, tmp_path: Path) -> None:
    generation = await client.generations.create(
        model="ray-flash-2", prompt="a teddy bear", resolution="540p", aspect_ratio="1:1", duration="5s"
    )
    seen = {generation.state}
    while generation.state not in ("completed", "failed"):
        await asyncio.sleep(0.01)
        generation = await client.generations.get(generation.id or "")
        seen.add(generation.state)
    assert "queued" in seen
    assert generation.assets is not None
    async with aiohttp.ClientSession() as http, http.get(generation.assets.video or "") as answer:
        (tmp_path / "clip").write_bytes(await answer.read())
    info = media_info(tmp_path / "clip")
    assert (info.mime, info.width, info.height, info.duration_s) == ("video/mp4", 540, 540, 5.0)


async def test_generations_are_listed_newest_first_and_deleted(client: lumaai.AsyncLumaAI) -> None:
    made = [(await client.generations.create(model="ray-2", prompt=f"bear {n} [hang]")).id or "" for n in range(3)]
    page = await client.generations.list(limit=2)
    assert ([each.id for each in page.generations], page.has_more) == (made[:0:-1], True)
    await client.generations.delete(made[2])
    rest = await client.generations.list(limit=2)
    assert ([each.id for each in rest.generations], rest.has_more) == (made[1::-1], False)


async def test_refusals_arrive_as_its_own_errors(client: lumaai.AsyncLumaAI) -> None:
    with pytest.raises(lumaai.BadRequestError, match="Insufficient credits"):
        await client.generations.create(model="ray-2", prompt="a bear [quota]")
    with pytest.raises(lumaai.RateLimitError) as limited:
        await client.with_options(max_retries=0).generations.create(model="ray-2", prompt="a bear [429]")
    assert limited.value.response.headers["retry-after"] == "1"
    with pytest.raises(lumaai.BadRequestError, match="resolution"):
        await client.generations.create(model="ray-2", prompt="a bear", resolution="8k")
    with pytest.raises(lumaai.NotFoundError):
        await client.generations.get("no-such-id")
    with pytest.raises(lumaai.AuthenticationError):
        await client.with_options(auth_token="wrong").generations.list()


async def test_a_flagged_prompt_ends_failed(client: lumaai.AsyncLumaAI) -> None:
    generation = await client.generations.create(model="ray-2", prompt="a bear [moderation]")
    while generation.state not in ("completed", "failed"):
        await asyncio.sleep(0.01)
        generation = await client.generations.get(generation.id or "")
    assert generation.state == "failed"
    assert "moderation" in (generation.failure_reason or "")


async def test_the_callback_url_hears_of_the_end(client: lumaai.AsyncLumaAI, receiver: Receiver) -> None:
    made = await client.generations.create(model="ray-2", prompt="a bear", callback_url=receiver.url)
    told = (await receiver.next()).body
    while told["state"] == "dreaming":
        told = (await receiver.next()).body
    assert (told["id"], told["state"]) == (made.id, "completed")
    done = await client.generations.get(made.id or "")
    assert done.assets is not None
    assert told["assets"]["video"] == done.assets.video
