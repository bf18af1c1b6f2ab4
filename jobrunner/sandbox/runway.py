"""Runway's HTTP API: image_to_video, text_to_video, tasks, and files behind URLs that expire and are renewed by asking.

Not spoken: uploads, pictures by URL (the sandbox goes nowhere), last frames, models but the four below.
"""

import base64
import binascii
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from jobrunner.sandbox import takes
from jobrunner.sandbox.artists.clips import Shot, frame_demuxer
from jobrunner.sandbox.shop import Refusal, Shop, answer, answering, read_object
from jobrunner.sandbox.takes import Take

API_KEY: Final = "test-key"
VERSION: Final = "2024-11-06"
URL_LIFE_S: Final = 86_400
MAX_PROMPT: Final = 1000
IMAGE_CHARS: Final = 5_000_000
CREDIT_USD: Final = 0.01
_GEN4: Final = ("1280:720", "720:1280", "1104:832", "960:960", "832:1104", "1584:672")
_VEO: Final = ("1280:720", "720:1280", "1080:1920", "1920:1080")
_FAILURES: Final = {
    "moderation": ("The prompt did not pass the content moderation.", "SAFETY.INPUT.TEXT"),
    "fail": ("The prompt asked for it with [fail].", "ASSET.INVALID"),
}


@dataclass(frozen=True, slots=True)
class Model:
    """Ratios from a first frame and from words alone; lengths in seconds; the price of a second in credits."""

    from_image: tuple[str, ...]
    from_text: tuple[str, ...]
    durations: tuple[int, ...]
    credits_a_second: int
    sound: bool = False


MODELS: Final = {
    "gen4.5": Model(_GEN4, _GEN4[:2], tuple(range(2, 11)), 12),
    "gen4_turbo": Model(_GEN4, (), tuple(range(2, 11)), 5),
    "veo3.1": Model(_VEO, _VEO, (4, 6, 8), 40, sound=True),
    "veo3.1_fast": Model(_VEO, _VEO, (4, 6, 8), 15, sound=True),
}


def error(status: int, text: str, **more: Any) -> Refusal:
    return Refusal(status, {"error": text, **more})


REFUSALS: Final = {
    "429": error(429, "You have made too many requests. Please try again later."),
    "quota": error(400, "You do not have enough credits to run this task."),
    "503": error(503, "The service is temporarily overloaded."),
    "500": error(500, "An unexpected error occurred."),
}


class Runway(Shop):
    name = "runway"
    refusals = REFUSALS

    def app(self) -> web.Application:
        app = web.Application(middlewares=[answering(_authenticate, error)])
        guard = self._state.faults.guard
        app.add_routes(
            [
                web.post("/v1/image_to_video", guard(self, "create", self.create)),
                web.post("/v1/text_to_video", guard(self, "create", self.create)),
                web.get("/v1/tasks/{id}", guard(self, "poll", self.get)),
                web.delete("/v1/tasks/{id}", guard(self, "cancel", self.delete)),
                web.get("/files/{id}.mp4", guard(self, "file", self.file)),
                web.get("/v1/organization", self.organization),
            ]
        )
        return app

    async def organization(self, _request: web.Request) -> web.Response:
        return answer(
            {"creditBalance": 1_000_000, "tier": {"maxMonthlyCreditSpend": 0, "models": {}}, "usage": {"models": {}}}
        )

    async def create(self, request: web.Request) -> web.Response:
        with_image = request.path.endswith("/image_to_video")
        body = _checked(await read_object(request, error), with_image=with_image)
        price = round(_credits(body) * CREDIT_USD, 6)
        with self.sale(request, body, text=str(body.get("promptText", "")), price_usd=price) as made:
            return answer({"id": made.id, "estimatedCost": {"credits": _credits(body)}})

    async def get(self, request: web.Request) -> web.Response:
        return answer(_shown(self._found(request), str(request.url.origin()), time.time()))

    async def delete(self, request: web.Request) -> web.Response:
        """Running work is stopped; what is over is deleted, files and all."""
        found, now = self._found(request), time.time()
        if found.phase(now) in ("waiting", "running"):
            takes.stop(self._state.db, found.id, now)
        else:
            takes.delete(self._state.db, found.id, now)
        return web.Response(status=204)

    async def file(self, request: web.Request) -> web.Response:
        if time.time() >= int(request.query.get("expires", "0")):
            raise missing()
        found = self.delivered(request, missing())
        body = found.body
        width, _, height = body["ratio"].partition(":")
        sound = MODELS[body["model"]].sound and body.get("audio", True)
        shot = Shot(found.text, found.seed, (int(width), int(height)), _seconds(body), sound)
        frame = _picture(body["promptImage"]) if "promptImage" in body else None
        return web.Response(body=await self._state.clips.clip(shot, frame), content_type="video/mp4")

    def _found(self, request: web.Request) -> Take:
        return self.found(request.match_info["id"], missing())


def missing() -> Refusal:
    return error(404, "Not found.")


def _shown(take: Take, origin: str, now: float) -> dict[str, Any]:
    """The task as the API shows it at `now` (unix seconds). It waits THROTTLED first, then PENDING."""
    task: dict[str, Any] = {"id": take.id, "createdAt": take.created}
    price = {"credits": _credits(take.body)}
    estimate, charged = {"estimatedCost": price}, {"cost": price}
    match take.phase(now):
        case "waiting":
            return task | estimate | {"status": "THROTTLED" if take.waited(now) < 0.5 else "PENDING"}  # noqa: PLR2004
        case "running":
            return task | estimate | {"status": "RUNNING", "progress": take.progress(now)}
        case "made":
            url = f"{origin}/runway/files/{take.id}.mp4?expires={int(now) + URL_LIFE_S}"
            return task | charged | {"status": "SUCCEEDED", "output": [url]}
        case "stopped":
            before = take.stopped_at is not None and take.stopped_at < take.created_at + take.wait_s
            return task | ({"cost": {"credits": 0}} if before else charged) | {"status": "CANCELLED"}
        case "failed":
            failure, code = _FAILURES[take.fate]
            return task | {"cost": {"credits": 0}, "status": "FAILED", "failure": failure, "failureCode": code}


def _seconds(body: Mapping[str, Any]) -> int:
    return int(body.get("duration", MODELS[body["model"]].durations[-1]))


def _credits(body: Mapping[str, Any]) -> int:
    return MODELS[body["model"]].credits_a_second * _seconds(body)


def _authenticate(request: web.Request) -> None:
    """Files are open to whoever knows their URL, as the real ones are."""
    if request.path.startswith("/runway/files/"):
        return
    if request.headers.get("Authorization") != f"Bearer {API_KEY}":
        raise error(401, "The API key is missing or invalid.")
    if request.headers.get("X-Runway-Version") != VERSION:
        raise error(400, f"The header X-Runway-Version must be {VERSION}.")


def _checked(body: dict[str, Any], *, with_image: bool) -> dict[str, Any]:
    model = MODELS.get(str(body.get("model")))
    if model is None:
        raise _invalid("model", f"Expected one of {', '.join(MODELS)}")
    ratios = model.from_image if with_image else model.from_text
    if body.get("ratio") not in ratios:
        raise _invalid("ratio", f"Expected one of {', '.join(ratios) or 'no ratio: this model needs promptImage'}")
    if ("duration" in body or body["model"] == "gen4.5") and body.get("duration") not in model.durations:
        raise _invalid("duration", f"Expected one of {', '.join(map(str, model.durations))}")
    text = body.get("promptText", "" if with_image and body["model"] != "gen4.5" else None)
    if (
        not isinstance(text, str)
        or (not text and "promptText" in body)
        or len(text.encode("utf-16-le")) > 2 * MAX_PROMPT
    ):
        raise _invalid("promptText", f"Expected 1 to {MAX_PROMPT} UTF-16 code units")
    seed = body.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise _invalid("seed", "Expected an integer from 0 to 4294967295")
    if with_image:
        _picture(body.get("promptImage"))
    return body


def _picture(given: Any) -> bytes:
    """The first frame: a data: URI, or a list of one `{uri, position: first}`."""
    uri = given[0].get("uri") if isinstance(given, list) and len(given) == 1 and isinstance(given[0], dict) else given
    parts = re.fullmatch(r"data:image/[a-z]+;base64,(.*)", uri, re.DOTALL) if isinstance(uri, str) else None
    if parts is None or len(parts[0]) > IMAGE_CHARS:
        raise _invalid("promptImage", "Expected one data: URI of at most 5 MB; the sandbox downloads nothing")
    try:
        picture = base64.b64decode(parts[1], validate=True)
        frame_demuxer(picture)
    except (binascii.Error, ValueError) as problem:
        raise _invalid("promptImage", f"Not a picture: {problem}") from None
    return picture


def _invalid(path: str, message: str) -> Refusal:
    return error(400, "Validation of body failed", issues=[{"code": "custom", "path": [path], "message": message}])
