"""POST /audio/speech: one request that streams a sound in chunks, without a length and without usage."""

import asyncio
from typing import Any, Final

from aiohttp import web

from jobrunner.sandbox import ledger
from jobrunner.sandbox.artists.recorder import Format
from jobrunner.sandbox.faults import DELIVERED, DELIVERY, SLOW_S
from jobrunner.sandbox.openai import protocol
from jobrunner.sandbox.openai.protocol import REQUEST_ID, ApiError, invalid
from jobrunner.sandbox.state import State

SPEAK_S: Final = 0.4
MAX_CHARS: Final = 4096
PRICE_USD: Final = 0.000015
"""A character."""
MODELS: Final = ("gpt-4o-mini-tts", "tts-1", "tts-1-hd")
VOICES: Final = (
    "alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse", "marin", "cedar",
)  # fmt: skip
FORMATS: Final = ("mp3", "opus", "aac", "flac", "wav", "pcm")
RATE: Final = 24_000
KNOWN: Final = frozenset({"model", "input", "voice", "instructions", "response_format", "speed", "stream_format"})


class Speech:
    def __init__(self, state: State) -> None:
        self._state = state

    async def speak(self, request: web.Request) -> web.Response:
        body = await protocol.read_json(request, KNOWN)
        text, format, speed = _checked(body)
        digest = ledger.body_sha256(body)
        word = protocol.fate_of(self._state, request, text, digest)
        if word in ("moderation", "fail"):
            raise protocol.rejected(word)
        protocol.sell(self._state, request[REQUEST_ID], digest, text, PRICE_USD * len(text))
        if word in DELIVERED:
            request[DELIVERY] = word
        wait_s = (SLOW_S if word == "slow" else SPEAK_S) / self._state.speed
        sound, _ = await asyncio.gather(
            self._state.recorder.spoken(text, str(body["voice"]), speed=speed, format=format), asyncio.sleep(wait_s)
        )
        response = web.Response(body=sound, content_type=format.mime)
        response.enable_chunked_encoding()
        return response


def _checked(body: dict[str, Any]) -> tuple[str, Format, float]:
    text = protocol.check_text("input", body.get("input"), MAX_CHARS)
    if body.get("model") not in MODELS:
        message = f"The model '{body.get('model')}' does not exist."
        raise ApiError(404, message, code="model_not_found", param="model")
    if body.get("voice") not in VOICES:
        raise invalid("voice", f"Invalid value: {body.get('voice')!r}. Supported values are: {VOICES}.")
    format, speed = body.get("response_format", "mp3"), body.get("speed", 1.0)
    if format not in FORMATS:
        raise invalid("response_format", f"Invalid value: {format!r}. Supported values are: {FORMATS}.")
    if not isinstance(speed, (int, float)) or not 0.25 <= speed <= 4:  # noqa: PLR2004
        raise invalid("speed", f"Invalid 'speed': {speed!r}. Expected a number from 0.25 to 4.")
    if body.get("stream_format", "audio") != "audio":
        raise invalid("stream_format", "The sandbox streams audio only.")
    return text, Format(format, RATE), float(speed)
