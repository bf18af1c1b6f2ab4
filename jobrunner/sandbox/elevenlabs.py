"""ElevenLabs' API: speech, music and sound effects, each one long request that answers the sound in chunks.

Not spoken: `with-timestamps`, composition plans, voices and history; music has no words, whatever is asked for.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from jobrunner.sandbox import ledger
from jobrunner.sandbox.artists.recorder import Format
from jobrunner.sandbox.faults import DELIVERED, DELIVERY, SLOW_S, WORD, refuse, word_in
from jobrunner.sandbox.state import State

API_KEY: Final = "test-key"
SPEAK_S: Final = 1.0
COMPOSE_S: Final = 4.0
PRICE_USD: Final = 0.0002
"""Of one credit."""
MODELS: Final[Mapping[str, int]] = {
    "eleven_v3": 5_000, "eleven_multilingual_v2": 10_000, "eleven_flash_v2_5": 40_000, "eleven_turbo_v2_5": 40_000,
}  # fmt: skip
"""Characters that each takes in one request."""
MUSIC_MODELS: Final = frozenset({"music_v1", "music_v2", "music_v2_5"})
SOUND_MODELS: Final = frozenset({"eleven_text_to_sound_v2"})
MUSIC_CREDITS_A_S: Final = 15
SOUND_CREDITS_A_S: Final = 40

_FORMAT = re.compile(r"(?:(mp3|opus)_(\d{4,5})_(\d{2,3}))|(?:(wav|pcm)_(\d{4,5}))")
_REQUEST_ID = web.RequestKey("elevenlabs_request_id", str)


class Refusal(Exception):
    """An answer that is an error; `detail` may have any of the three shapes that the real service answers."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(str(detail))
        self.status, self.detail = status, detail

    def response(self) -> web.Response:
        body = orjson.dumps({"detail": self.detail})
        return web.Response(status=self.status, body=body, content_type="application/json")


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be sold: for how many credits, how long it takes to make, and how it is made."""

    body: Mapping[str, Any]
    prompt: str
    credits: int
    wait_s: float
    format: Format
    record: Callable[[], Awaitable[bytes]]


def _refusal(status: int, code: str, message: str) -> Refusal:
    """`status` inside is the older word for the code, which old clients read."""
    return Refusal(status, {"type": "error", "code": code, "status": code, "message": message})


REFUSALS: Final = {
    "429": _refusal(429, "concurrent_limit_exceeded", "Too many concurrent requests: your subscription allows 15."),
    "quota": _refusal(401, "quota_exceeded", "This request exceeds your quota. You have 0 credits remaining."),
    "503": _refusal(503, "service_unavailable", "The service is busy, try again later."),
    "500": Refusal(500, "An unexpected error occurred."),
}


class ElevenLabs:
    name = "elevenlabs"
    refusals = REFUSALS

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def speed(self) -> float:
        return self._state.speed

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_answer_errors])
        app.on_response_prepare.append(_sign)
        guard = self._state.faults.guard
        app.add_routes(
            [
                web.post("/v1/text-to-speech/{voice}", guard(self, "create", self.speak)),
                web.post("/v1/text-to-speech/{voice}/stream", guard(self, "create", self.speak)),
                web.post("/v1/music", guard(self, "create", self.compose)),
                web.post("/v1/sound-generation", guard(self, "create", self.effect)),
                web.get("/v1/user", self.user),
            ]
        )
        return app

    async def user(self, _request: web.Request) -> web.Response:
        return web.json_response({"user_id": "sandbox"})

    async def speak(self, request: web.Request) -> web.Response:
        body, format = await _body(request, "text"), _format(request)
        model = _model(body, "eleven_multilingual_v2", MODELS)
        text, voice = body["text"], request.match_info["voice"]
        if voice.startswith("missing"):
            raise _refusal(404, "voice_not_found", f"A voice with the voice_id {voice} was not found.")
        if len(text) > MODELS[model]:
            message = f"This request has {len(text)} characters; {model} takes at most {MODELS[model]}."
            raise _refusal(400, "max_character_limit_exceeded", message)
        speed = _number(body.get("voice_settings") or {}, "speed", 1.0, (0.7, 1.2))
        language = str(body.get("language_code") or "en")

        def record() -> Awaitable[bytes]:
            return self._state.recorder.spoken(text, voice, speed=speed, language=language, format=format)

        return await self._sold(request, _Order(body, text, len(text), SPEAK_S, format, record))

    async def compose(self, request: web.Request) -> web.Response:
        body, format = await _body(request, "prompt"), _format(request)
        _model(body, "music_v1", MUSIC_MODELS)
        prompt, length_s = body["prompt"], _number(body, "music_length_ms", 30_000, (3_000, 600_000)) / 1000

        def record() -> Awaitable[bytes]:
            return self._state.recorder.composed("music", prompt, length_s=length_s, format=format)

        cost = round(length_s * MUSIC_CREDITS_A_S)
        return await self._sold(request, _Order(body, prompt, cost, COMPOSE_S, format, record))

    async def effect(self, request: web.Request) -> web.Response:
        body, format = await _body(request, "text"), _format(request)
        _model(body, "eleven_text_to_sound_v2", SOUND_MODELS)
        prompt, length_s = body["text"], _number(body, "duration_seconds", 3.0, (0.5, 30.0))

        def record() -> Awaitable[bytes]:
            return self._state.recorder.composed("sound", prompt, length_s=length_s, format=format)

        cost = round(length_s * SOUND_CREDITS_A_S)
        return await self._sold(request, _Order(body, prompt, cost, SPEAK_S, format, record))

    async def _sold(self, request: web.Request, order: _Order) -> web.Response:
        digest = ledger.body_sha256({"path": request.path, **order.body})
        word = request[WORD] or word_in(order.prompt)
        if self._state.faults.refuses(word, digest):
            return refuse(REFUSALS, word)
        if word == "moderation":
            raise _refusal(400, "bad_prompt", "Your prompt was flagged: it names what may not be made.")
        if word == "fail":
            raise _refusal(400, "invalid_request", "The prompt asked to fail with [fail].")
        id, price_usd = request[_REQUEST_ID], round(order.credits * PRICE_USD, 6)
        ledger.record(self._state.db, ledger.Purchase(self.name, id, digest, order.prompt, time.time(), price_usd))
        if word in DELIVERED:
            request[DELIVERY] = word
        wait_s = (SLOW_S if word == "slow" else order.wait_s) / self.speed
        sound, _ = await asyncio.gather(order.record(), asyncio.sleep(wait_s))
        response = web.Response(body=sound, content_type=order.format.mime)
        response.headers["character-cost"] = str(order.credits)
        response.enable_chunked_encoding()
        return response


@web.middleware
async def _answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    request[_REQUEST_ID] = secrets.token_urlsafe(15)
    try:
        if request.headers.get("xi-api-key") != API_KEY:
            raise _refusal(401, "invalid_api_key", f"Invalid API key; the sandbox knows {API_KEY}.")
        return await handler(request)
    except Refusal as refusal:
        return refusal.response()
    except web.HTTPException as error:
        return Refusal(error.status, error.reason).response()


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["request-id"] = request[_REQUEST_ID]


def _invalid(field: str, message: str, kind: str = "value_error") -> Refusal:
    return Refusal(422, [{"loc": ["body", field], "msg": message, "type": kind}])


async def _body(request: web.Request, needed: str) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise _invalid("body", "JSON decode error", "json_invalid") from None
    if not isinstance(body, dict):
        raise _invalid("body", "Input should be a valid dictionary", "dict_type")
    if not isinstance(body.get(needed), str) or not body[needed].strip():
        raise _invalid(needed, "Field required", "missing")
    return body


def _model(body: Mapping[str, Any], default: str, known: Mapping[str, int] | frozenset[str]) -> str:
    model = body.get("model_id") or default
    if model not in known:
        raise _refusal(400, "model_not_found", f"A model with the ID {model} does not exist.")
    return str(model)


def _number(body: Mapping[str, Any], field: str, default: float, bounds: tuple[float, float]) -> float:
    value = body.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not bounds[0] <= value <= bounds[1]:
        raise _invalid(field, f"Input should be from {bounds[0]:g} to {bounds[1]:g}", "range")
    return float(value)


def _format(request: web.Request) -> Format:
    """`codec_rate_kbps`, or `codec_rate` for uncompressed ones."""
    named = _FORMAT.fullmatch(request.query.get("output_format", "mp3_44100_128"))
    if named is None:
        raise _invalid("output_format", "Input should be a format such as mp3_44100_128 or wav_44100", "enum")
    return Format(named[1] or named[4], int(named[2] or named[5]), int(named[3] or 128))
