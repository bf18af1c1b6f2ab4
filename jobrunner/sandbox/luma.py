"""Luma Dream Machine's HTTP API: create a video, poll it, list, delete, and the files.

Not spoken: keyframes (the sandbox downloads nothing), images, modify, reframe, upscale, audio.
"""

import re
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from jobrunner.sandbox import signatures, takes
from jobrunner.sandbox.artists.clips import Shot
from jobrunner.sandbox.shop import Refusal, Shop, answer, answering, read_object
from jobrunner.sandbox.state import State
from jobrunner.sandbox.takes import Take
from jobrunner.sandbox.webhooks import Call, NotHere, loopback

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


def error(status: int, detail: str) -> Refusal:
    return Refusal(status, {"detail": detail})


REFUSALS: Final = {
    "429": error(429, "Too many requests"),
    "quota": error(400, "Insufficient credits"),
    "503": error(503, "Service unavailable"),
    "500": error(500, "Internal server error"),
}


class Luma(Shop):
    name = "luma"
    refusals = REFUSALS

    def __init__(self, state: State) -> None:
        super().__init__(state)
        state.webhooks.speak_for(self.name, self.tell, signatures.unsigned)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[answering(_authenticate, error)])
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
        body, origin = _checked(await read_object(request, error)), str(request.url.origin())
        with self.sale(request, body, text=body["prompt"], price_usd=_price_usd(body)) as made:
            if body.get("callback_url"):
                due = [("dreaming", made.created_at + made.wait_s), ("over", made.ends_at)]
                self._state.webhooks.schedule(self.name, made.id, due, url=body["callback_url"], origin=origin)
        return answer(_shown(made, origin, time.time()), status=201)

    async def get(self, request: web.Request) -> web.Response:
        return answer(_shown(self._found(request), str(request.url.origin()), time.time()))

    async def tell(self, call: Call) -> bytes | None:
        """The generation as it is; nothing, if it is over before its beginning could be told."""
        take, now = takes.get(self._state.db, self.name, call.work), time.time()
        if take is None or (call.event == "dreaming") != (take.phase(now) == "running"):
            return None
        return orjson.dumps(_shown(take, call.origin, now))

    async def list(self, request: web.Request) -> web.Response:
        limit, offset = _number(request, "limit", 10, MAX_PAGE), _number(request, "offset", 0, 2**31)
        rows = takes.page(self._state.db, self.name, limit=limit + 1, offset=offset)
        shown = [_shown(row, str(request.url.origin()), time.time()) for row in rows[:limit]]
        page = {"count": len(shown), "limit": limit, "offset": offset, "generations": shown}
        return answer({"has_more": len(rows) > limit, **page})

    async def delete(self, request: web.Request) -> web.Response:
        takes.delete(self._state.db, self._found(request).id, time.time())
        return web.Response(status=204)

    async def file(self, request: web.Request) -> web.Response:
        found = self.delivered(request, missing())
        shot = Shot(found.text, found.seed, _size(found.body), _seconds(found.body))
        return web.Response(body=await self._state.clips.clip(shot), content_type="video/mp4")

    def _found(self, request: web.Request) -> Take:
        return self.found(request.match_info["id"], missing())


def missing() -> Refusal:
    return error(404, "Generation not found")


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


def _authenticate(request: web.Request) -> None:
    """Files are open to whoever knows their URL."""
    api = not request.path.startswith("/luma/files/")
    if api and request.headers.get("Authorization") != f"Bearer {API_KEY}":
        raise error(401, "Invalid API key")


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(body.get("prompt"), str) or not body["prompt"]:
        raise error(400, "prompt: a text is required")
    choices = {"aspect_ratio": RATIOS, "resolution": SHORT_SIDES, "duration": DURATIONS, "generation_type": ("video",)}
    for key, known in ({"model": MEGAPIXEL_USD} | choices).items():
        if (key == "model" or key in body) and body.get(key) not in known:
            raise error(400, f"{key}: expected one of {', '.join(known)}")
    try:
        loopback(body.get("callback_url"))
    except NotHere as problem:
        raise error(400, f"callback_url: {problem}") from None
    if body.get("keyframes"):
        raise error(400, "keyframes: the sandbox downloads no pictures")
    return body


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not re.fullmatch(r"\d{1,10}", text):
        raise error(400, f"{name}: expected a number")
    return min(int(text), most)
