"""sync.so's own SDK, pointed at the sandbox by its base URL and changed in nothing else."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sync import AsyncSync, Audio, Generation, GenerationOptions, Tts, TtsProviderConfig, Video
from sync.common import BadRequestError, NotFoundError, UnauthorizedError
from sync.core.api_error import ApiError

from jobrunner.media.examining import media_info
from jobrunner.sandbox import ledger
from jobrunner.sandbox.app import Sandbox, running
from tests.integration.drivers.inputs import clip, titled

MODEL = "lipsync-2"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with running(tmp_path / "sandbox", speed=40.0) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[AsyncSync]:
    async with httpx.AsyncClient() as http:
        yield AsyncSync(api_key="test-key", base_url=f"{sandbox.base_url}/sync", httpx_client=http)


def video() -> Video:
    return Video(url=f"data:video/mp4;base64,{base64.b64encode(clip()).decode()}")


def says(script: str) -> Tts:
    return Tts(provider=TtsProviderConfig(voice_id="narrator", script=script))


async def ended(client: AsyncSync, made: Generation) -> Generation:
    while made.status in {"PENDING", "PROCESSING"}:
        await asyncio.sleep(0.01)
        made = await client.generations.get(made.id)
    return made


async def test_a_clip_speaks_a_text_for_what_was_estimated(client: AsyncSync, sandbox: Sandbox, tmp_path: Path) -> None:
    inputs: list[Video | Audio | Tts] = [video(), says("Good morning!")]
    options = GenerationOptions(sync_mode="loop")
    [cost] = await client.generations.estimate_cost(model=MODEL, input=inputs, options=options)
    made = await client.generations.create(
        model=MODEL, input=inputs, options=options, output_file_name="hello", webhook_url="http://127.0.0.1:9/hook"
    )
    assert (made.status, made.webhook_url) == ("PENDING", "http://127.0.0.1:9/hook")
    done = await ended(client, made)
    assert (done.status, done.error) == ("COMPLETED", None)
    assert done.output_url is not None
    assert done.output_url.endswith("/hello.mp4")
    async with httpx.AsyncClient() as http:
        (tmp_path / "film").write_bytes((await http.get(done.output_url)).content)
    info = media_info(tmp_path / "film")
    assert info.has_audio
    assert info.duration_s == pytest.approx(done.output_duration, abs=0.1)
    [bought] = ledger.read(tmp_path / "sandbox")
    assert bought.price_usd == pytest.approx(cost.estimated_generation_cost)


async def test_files_travel_with_the_request_and_are_listed(client: AsyncSync) -> None:
    made = await client.generations.create_with_files(
        model=MODEL,
        video=("clip.mp4", clip(), "video/mp4"),
        audio=("voice.wav", titled("voice"), "audio/wav"),
        options='{"sync_mode": "silence"}',  # type: ignore[arg-type]  # the SDK cannot put an object into a form
    )
    assert [each.type for each in made.input] == ["video", "audio"]
    await ended(client, made)
    hanging = await client.generations.create(model=MODEL, input=[video(), says("Never. [hang]")])
    assert [each.id for each in await client.generations.list()] == [hanging.id, made.id]
    assert [each.id for each in await client.generations.list(status=["COMPLETED", "FAILED"])] == [made.id]
    assert [each.id for each in await client.generations.list(ids=[hanging.id])] == [hanging.id]


async def test_the_same_key_brings_the_same_generation_and_another_payload_a_conflict(
    client: AsyncSync, tmp_path: Path
) -> None:
    async def create(script: str, key: str) -> Generation:
        return await client.generations.create(
            model=MODEL,
            input=[video(), says(script)],
            request_options={"additional_headers": {"Idempotency-Key": key}},
        )

    twins = await asyncio.gather(*(create("Once.", "my-key") for _ in range(3)))
    assert len({twin.id for twin in twins}) == 1
    assert (await create("Once.", "My-Key")).id != twins[0].id
    assert len(ledger.read(tmp_path / "sandbox")) == 2
    with pytest.raises(ApiError) as conflict:
        await create("Twice.", "my-key")
    assert conflict.value.status_code == 409
    for malformed in ("", "a:b", "k" * 129):
        with pytest.raises(BadRequestError) as bad:
            await create("Once.", malformed)
        assert bad.value.body.errorCode == "INVALID_IDEMPOTENCY_KEY"


async def test_failures_and_refusals_arrive_as_its_own_errors(client: AsyncSync, sandbox: Sandbox) -> None:
    flagged = await ended(client, await client.generations.create(model=MODEL, input=[video(), says("[moderation]")]))
    failed = await ended(client, await client.generations.create(model=MODEL, input=[video(), says("[fail]")]))
    assert (flagged.status, failed.status) == ("REJECTED", "FAILED")
    assert failed.error_code == "generation_input_validation_failed"
    with pytest.raises(BadRequestError):
        await client.generations.create(model=MODEL, input=[video()])
    with pytest.raises(BadRequestError):
        await client.generations.create(model=MODEL, input=[video(), Audio(url="https://example.com/voice.wav")])
    with pytest.raises(ApiError) as limited:
        await client.generations.create(model=MODEL, input=[video(), says("Hello. [429]")])
    assert limited.value.status_code == 429
    with pytest.raises(NotFoundError):
        await client.generations.get("none")
    async with httpx.AsyncClient() as http:
        stranger = AsyncSync(api_key="wrong-key", base_url=f"{sandbox.base_url}/sync", httpx_client=http)
        with pytest.raises(UnauthorizedError):
            await stranger.generations.list()
