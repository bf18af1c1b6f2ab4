"""Luma Dream Machine's HTTP API: create a video, poll it, list, delete, and the files.

Not spoken: keyframes (the sandbox downloads nothing), images, modify, reframe, upscale, audio; `callback_url` is
accepted and never called.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from jobrunner.sandbox import ledger, takes
from jobrunner.sandbox.clips import Shot
from jobrunner.sandbox.faults import DELIVERY, WORD, refuse, word_in
from jobrunner.sandbox.state import State
from jobrunner.sandbox.takes import Take

API_KEY: Final = "test-key"
BASE: Final = "/dream-machine/v1"
MEGAPIXEL_USD: Final = {"ray-2": 0.0064, "ray-flash-2": 0.0022}
"""The price of a million pixels, all frames of a clip counted at 24 a second, by model."""
RATIOS: Final = ("1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21")
SHORT_SIDES: Final = {"540p": 540, "720p": 720, "1080p": 1080, "4k": 2160}
DURATIONS: Final = {"5s": 5, "9s": 9}
MAX_PAGE: Final = 100
_STATES: Final = {"waiting": "queued", "running": "dreaming", "made": "completed", "failed": "failed"}
_REASONS: Final = {
    "moderation": "Prompt not allowed because advanced moderation failed",
    "fail": "The prompt asked for it with [fail]",
}


class ApiError(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail

    def response(self) -> web.Response:
        body = orjson.dumps({"detail": self.detail})
        return web.Response(status=self.status, body=body, content_type="application/json")


REFUSALS: Final = {
    "429": ApiError(429, "Too many requests"),
    "quota": ApiError(400, "Insufficient credits"),
    "503": ApiError(503, "Service unavailable"),
    "500": ApiError(500, "Internal server error"),
}


class Luma:
    name = "luma"
    refusals = REFUSALS

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def speed(self) -> float:
        return self._state.speed

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_answer_errors])
        guard = self._state.faults.guard
        create = guard(self, "create", self.create)
        app.add_routes(
            [
                web.post(f"{BASE}/generations/video", create),
                web.post(f"{BASE}/generations", create),  # the same, as older clients call it
                web.get(f"{BASE}/generations", guard(self, "list", self.list)),
                web.get(f"{BASE}/generations/{{id}}", guard(self, "poll", self.get)),
                web.delete(f"{BASE}/generations/{{id}}", guard(self, "cancel", self.delete)),
                web.get("/files/{id}.mp4", guard(self, "file", self.file)),
            ]
        )
        return app

    async def create(self, request: web.Request) -> web.Response:
        body = _checked(await _json(request))
        digest, word = ledger.body_sha256(body), request[WORD] or word_in(body["prompt"])
        if self._state.faults.refuses(word, digest):
            return refuse(REFUSALS, word)
        made = takes.plan(self.name, body, text=body["prompt"], fate=word, now=time.time(), speed=self.speed)
        with self._state.transaction() as db:
            takes.insert(db, made)
            ledger.record(db, ledger.Purchase(self.name, made.id, digest, made.text, made.created_at, _price_usd(body)))
        if word == "reset":
            request[DELIVERY] = word
        return _answer(_shown(made, str(request.url.origin()), time.time()), status=201)

    async def get(self, request: web.Request) -> web.Response:
        return _answer(_shown(self._found(request), str(request.url.origin()), time.time()))

    async def list(self, request: web.Request) -> web.Response:
        limit, offset = _number(request, "limit", 10, MAX_PAGE), _number(request, "offset", 0, 2**31)
        rows = takes.page(self._state.db, self.name, limit=limit + 1, offset=offset)
        shown = [_shown(row, str(request.url.origin()), time.time()) for row in rows[:limit]]
        page = {"count": len(shown), "limit": limit, "offset": offset, "generations": shown}
        return _answer({"has_more": len(rows) > limit, **page})

    async def delete(self, request: web.Request) -> web.Response:
        takes.delete(self._state.db, self._found(request).id, time.time())
        return web.Response(status=204)

    async def file(self, request: web.Request) -> web.Response:
        found, now = self._found(request), time.time()
        if "expire" in (found.fate, request[WORD]):
            takes.delete(self._state.db, found.id, now)
            raise _not_found()
        if found.phase(now) != "made":
            raise _not_found()
        request[DELIVERY] = found.fate
        shot = Shot(found.text, found.seed, _size(found.body), _seconds(found.body))
        return web.Response(body=await self._state.clips.clip(shot), content_type="video/mp4")

    def _found(self, request: web.Request) -> Take:
        found = takes.get(self._state.db, self.name, request.match_info["id"])
        if found is None:
            raise _not_found()
        return found


def _not_found() -> ApiError:
    return ApiError(404, "Generation not found")


def _answer(body: Mapping[str, Any], *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _shown(take: Take, origin: str, now: float) -> dict[str, Any]:
    """The generation as the API shows it at `now` (unix seconds)."""
    state = _STATES[take.phase(now)]
    url = f"{origin}/luma/files/{take.id}.mp4"
    return {
        "id": take.id,
        "generation_type": "video",
        "state": state,
        "failure_reason": _REASONS[take.fate] if state == "failed" else None,
        "created_at": take.created,
        "assets": {"video": url} if state == "completed" else None,
        "model": take.body["model"],
        "request": {"generation_type": "video", "keyframes": None, "callback_url": None, **take.body},
    }


def _seconds(body: Mapping[str, Any]) -> int:
    return DURATIONS[body.get("duration", "5s")]


def _size(body: Mapping[str, Any]) -> tuple[int, int]:
    """The shorter side is the resolution's; both are even."""
    across, _, down = body.get("aspect_ratio", "16:9").partition(":")
    short = SHORT_SIDES[body.get("resolution", "720p")]
    long = round(short * max(int(across), int(down)) / min(int(across), int(down)) / 2) * 2
    return (long, short) if int(across) >= int(down) else (short, long)


def _price_usd(body: Mapping[str, Any]) -> float:
    width, height = _size(body)
    return round(MEGAPIXEL_USD[body["model"]] * width * height * 24 * _seconds(body) / 1e6, 4)


@web.middleware
async def _answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        _authenticate(request)
        return await handler(request)
    except ApiError as error:
        return error.response()
    except web.HTTPException as error:
        return ApiError(error.status, error.text or error.reason).response()


def _authenticate(request: web.Request) -> None:
    """Files are open to whoever knows their URL."""
    api = not request.path.startswith("/luma/files/")
    if api and request.headers.get("Authorization") != f"Bearer {API_KEY}":
        raise ApiError(401, "Invalid API key")


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"The request body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise ApiError(400, "The request body must be an object")
    return body


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(body.get("prompt"), str) or not body["prompt"]:
        raise ApiError(400, "prompt: a text is required")
    choices = {"aspect_ratio": RATIOS, "resolution": SHORT_SIDES, "duration": DURATIONS, "generation_type": ("video",)}
    for key, known in ({"model": MEGAPIXEL_USD} | choices).items():
        if (key == "model" or key in body) and body.get(key) not in known:
            raise ApiError(400, f"{key}: expected one of {', '.join(known)}")
    if body.get("keyframes"):
        raise ApiError(400, "keyframes: the sandbox downloads no pictures")
    return body


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not re.fullmatch(r"\d{1,10}", text):
        raise ApiError(400, f"{name}: expected a number")
    return min(int(text), most)
