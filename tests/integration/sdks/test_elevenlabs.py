"""ElevenLabs' own SDK, pointed at the sandbox by its base URL and changed in nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError

from jobrunner.media.examining import media_info
from jobrunner.sandbox import ledger
from jobrunner.sandbox.app import Sandbox, running

VOICE = "JBFqnCBsd6RMkjVDRZzb"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with running(tmp_path / "sandbox", speed=40.0) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[AsyncElevenLabs]:
    async with httpx.AsyncClient() as http:
        yield AsyncElevenLabs(api_key="test-key", base_url=f"{sandbox.base_url}/elevenlabs", httpx_client=http)


async def heard_s(sound: AsyncIterator[bytes], path: Path, mime: str = "audio/mpeg") -> float:
    """How many seconds of sound there are."""
    path.write_bytes(b"".join([chunk async for chunk in sound]))
    info = media_info(path)
    assert info.mime == mime
    return info.duration_s or 0.0


async def test_a_text_is_spoken_whole_and_streamed(client: AsyncElevenLabs, tmp_path: Path) -> None:
    text, model = "The giant came home.", "eleven_multilingual_v2"
    whole = client.text_to_speech.convert(VOICE, text=text, model_id=model, output_format="wav_22050")
    assert 1 < await heard_s(whole, tmp_path / "whole", "audio/wav") < 3
    streamed = client.text_to_speech.stream(VOICE, text=text, model_id=model)
    assert 1 < await heard_s(streamed, tmp_path / "streamed") < 3


async def test_music_and_effects_are_made_as_long_as_asked(client: AsyncElevenLabs, tmp_path: Path) -> None:
    piece = client.music.compose(prompt="a harp", music_length_ms=4000, force_instrumental=True)
    assert await heard_s(piece, tmp_path / "piece") == pytest.approx(4, abs=0.1)
    effect = client.text_to_sound_effects.convert(text="a bell", duration_seconds=1.0)
    assert await heard_s(effect, tmp_path / "effect") == pytest.approx(1, abs=0.1)


async def test_the_price_is_in_the_headers(client: AsyncElevenLabs) -> None:
    async with client.text_to_speech.with_raw_response.convert(VOICE, text="Hello.") as answer:
        assert answer.headers["character-cost"] == "6"
        assert answer.headers["request-id"]
        assert [chunk async for chunk in answer.data]


async def test_a_rate_limit_says_when_to_come_again_and_bills_nothing(client: AsyncElevenLabs, tmp_path: Path) -> None:
    with pytest.raises(ApiError) as error:  # the SDK repeats no call whose answer is streamed
        await anext(client.text_to_speech.convert(VOICE, text="Hello. [429]"))
    assert error.value.status_code == 429
    assert (error.value.headers or {})["retry-after"] == "1"
    assert ledger.read(tmp_path / "sandbox") == []


async def test_a_spent_quota_is_a_401(client: AsyncElevenLabs) -> None:
    with pytest.raises(ApiError) as error:
        await anext(client.text_to_speech.convert(VOICE, text="Hello. [quota]"))
    assert error.value.status_code == 401
    assert error.value.body["detail"]["code"] == "quota_exceeded"


async def test_a_wrong_key_is_a_401_as_well(sandbox: Sandbox) -> None:
    async with httpx.AsyncClient() as http:
        stranger = AsyncElevenLabs(api_key="wrong-key", base_url=f"{sandbox.base_url}/elevenlabs", httpx_client=http)
        with pytest.raises(ApiError) as error:
            await anext(stranger.text_to_speech.convert(VOICE, text="Hello."))
    assert error.value.status_code == 401
    assert error.value.body["detail"]["code"] == "invalid_api_key"


async def test_flagged_words_are_not_spoken(client: AsyncElevenLabs, tmp_path: Path) -> None:
    with pytest.raises(ApiError) as error:
        await anext(client.text_to_speech.convert(VOICE, text="Hello. [moderation]"))
    assert error.value.status_code == 400
    assert ledger.read(tmp_path / "sandbox") == []
