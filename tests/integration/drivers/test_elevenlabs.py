"""What is peculiar to ElevenLabs: the sound is the answer itself, in chunks, and three shapes of errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import ClientSession
from pydantic import SecretStr

from jobrunner.errors import AttemptError, PermanentError, RateLimited, SubmitUnknown
from jobrunner.media.examining import media_info
from jobrunner.net import Net
from jobrunner.providers.driver import Desk, Finished
from jobrunner.providers.elevenlabs import ElevenLabs
from jobrunner.request import NARRATOR, MusicRequest, Request, SoundRequest, SpeechRequest
from jobrunner.sandbox.app import running
from jobrunner.settings.tables import Provider
from jobrunner.work import Intent, Money, Plan
from tests.integration.drivers.conftest import SPEED

SPEECH, MUSIC, SOUND = "eleven_flash_v2_5", "music_v1", "eleven_text_to_sound_v2"
MP3 = b"ID3\x04" + bytes(60)


class Caller:
    """A driver, and what it left in the spool."""

    def __init__(self, base_url: str, spool: Path) -> None:
        self.net = Net()
        self.driver = ElevenLabs(self.net, Provider(base_url=base_url, api_key=SecretStr("test-key"), timeout_s=20))
        self.desk = Desk(spool, lambda artifact: spool / artifact.key)

    async def order(self, request: Request, model: str = SPEECH) -> Finished:
        return await self.send(self.driver.prepare(model, request))

    async def send(self, plan: Plan) -> Finished:
        return await self.driver.submit(Intent("key", plan), self.desk)

    async def aclose(self) -> None:
        await self.driver.aclose()
        await self.net.aclose()


@pytest.fixture
async def sandbox_url(tmp_path: Path) -> AsyncIterator[str]:
    async with running(tmp_path / "sandbox", speed=SPEED) as sandbox:
        yield sandbox.base_url


@pytest.fixture
async def caller(sandbox_url: str, tmp_path: Path) -> AsyncIterator[Caller]:
    made = Caller(f"{sandbox_url}/elevenlabs", tmp_path)
    yield made
    await made.aclose()


@asynccontextmanager
async def answering(raw: bytes, spool: Path) -> AsyncIterator[Caller]:
    """A caller of a server that sends exactly these bytes for any request, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        caller = Caller(f"http://127.0.0.1:{port}", spool)
        yield caller
        await caller.aclose()


def chunked(*chunks: bytes, mime: str = "audio/mpeg") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {mime}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


async def test_a_stream_that_ends_without_its_last_chunk_is_no_sound(tmp_path: Path) -> None:
    async with answering(chunked(MP3, MP3), tmp_path) as caller:
        with pytest.raises(SubmitUnknown, match="may run and be billed"):
            await caller.order(SpeechRequest("Hello.", NARRATOR))
    assert list(tmp_path.iterdir()) == []


async def test_a_whole_stream_without_a_price_costs_nobody_knows_what(tmp_path: Path) -> None:
    async with answering(chunked(MP3, MP3, b""), tmp_path) as caller:
        finished = await caller.order(SpeechRequest("Hello.", NARRATOR))
    assert finished.cost is None
    assert finished.outputs[0].path is not None
    assert finished.outputs[0].path.read_bytes() == MP3 + MP3


async def test_a_page_that_calls_itself_a_sound_is_not_taken(tmp_path: Path) -> None:
    async with answering(chunked(b"<html>Welcome to the proxy.</html>", b""), tmp_path) as caller:
        with pytest.raises(SubmitUnknown, match="no sound"):
            await caller.order(SpeechRequest("Hello.", NARRATOR))
    assert list(tmp_path.iterdir()) == []


async def test_the_answer_tells_its_price_in_credits_and_its_id(caller: Caller, sandbox_url: str) -> None:
    finished = await caller.order(SpeechRequest("Hello.", NARRATOR))
    assert finished.cost == Money(Decimal(6), "credits")
    async with ClientSession() as admin, admin.get(f"{sandbox_url}/admin/purchases") as answer:
        (purchase,) = await answer.json()
    assert finished.meta == {"request_id": purchase["id"], "output_format": "mp3_44100_128"}


@pytest.mark.parametrize(
    ("request_", "model", "shortest_s", "longest_s"),
    [
        (SpeechRequest("The giant came home, and saw the children in his garden.", NARRATOR), SPEECH, 2.0, 6.0),
        (MusicRequest("a harp", 4.0), MUSIC, 3.9, 4.2),
        (SoundRequest("a bell", 1.5), SOUND, 1.4, 1.7),
    ],
)
async def test_what_is_heard_is_an_mp3_of_about_the_length_that_was_asked_for(
    caller: Caller, request_: Request, model: str, shortest_s: float, longest_s: float
) -> None:
    finished = await caller.order(request_, model)
    assert finished.outputs[0].path is not None
    info = media_info(finished.outputs[0].path)
    assert info.mime == "audio/mpeg"
    assert info.duration_s is not None
    assert shortest_s <= info.duration_s <= longest_s


async def test_a_voice_that_does_not_exist_is_named(caller: Caller) -> None:
    with pytest.raises(PermanentError, match="missing1") as error:
        await caller.order(SpeechRequest("Hello.", "missing1"))
    assert (error.value.code, error.value.provider_code) == ("provider_not_found", "voice_not_found")


async def test_what_the_service_finds_invalid_is_told_with_its_field(caller: Caller) -> None:
    with pytest.raises(PermanentError, match=r"text: Field required") as error:
        await caller.send(Plan("elevenlabs", SPEECH, "v1/text-to-speech/x", {"model_id": SPEECH}))
    assert error.value.code == "invalid_input"


@pytest.mark.parametrize(
    ("word", "kind", "code"),
    [("quota", PermanentError, "quota_exceeded"), ("429", RateLimited, "concurrent_limit_exceeded")],
)
async def test_a_refusal_keeps_the_word_of_the_service(
    caller: Caller, word: str, kind: type[AttemptError], code: str
) -> None:
    with pytest.raises(kind) as error:
        await caller.order(SpeechRequest(f"Hello. [{word}]", NARRATOR))
    assert type(error.value) is kind
    assert error.value.provider_code == code
    assert error.value.request_id
    assert "API key" not in str(error.value)
