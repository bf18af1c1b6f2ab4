"""OpenAI-style videos: POST /videos as a form, GET, list, content, DELETE. Not spoken: remix, edit, extend, characters.

There is no cancel, and a first frame of other proportions than the clip is filled in, where OpenAI refuses it.
"""

import secrets
import time
from typing import Any, Final

from aiohttp import web

from jobrunner.sandbox import ledger, takes, uploads
from jobrunner.sandbox.artists.clips import Shot, frame_demuxer
from jobrunner.sandbox.faults import DELIVERY, WORD
from jobrunner.sandbox.openai import protocol
from jobrunner.sandbox.openai.endpoints import Endpoints
from jobrunner.sandbox.openai.protocol import NAME, ApiError, invalid
from jobrunner.sandbox.state import State
from jobrunner.sandbox.takes import Take

ID_PREFIX: Final = "video_"
SECONDS: Final = ("4", "8", "12")
SIZES: Final = ("720x1280", "1280x720")
MODELS: Final = {"sora-2": SIZES, "sora-2-pro": (*SIZES, "1024x1792", "1792x1024")}
SECOND_USD: Final = {"sora-2": 0.1, "sora-2-pro": 0.3}
KNOWN: Final = frozenset({"prompt", "model", "seconds", "size"})
MAX_PROMPT_CHARS: Final = 32_000
KEPT_S: Final = 86_400.0
POLL_AFTER_MS: Final = 1000
MAX_PAGE: Final = 100
STATUSES: Final = {"waiting": "queued", "running": "in_progress", "made": "completed", "failed": "failed"}
ERRORS: Final = {
    "moderation": {"code": "moderation_blocked", "message": "Your request was blocked by our moderation system."},
    "fail": {"code": "invalid_value", "message": "The prompt asked to fail with [fail]."},
}


class Videos:
    def __init__(self, state: State, endpoints: Endpoints) -> None:
        self._state = state
        self._endpoints = endpoints

    async def create(self, request: web.Request) -> web.Response:
        fields, files = await protocol.read_form(request)
        body = _checked(fields)
        frames = [_frame(file) for file in files.get("input_reference", ())[:1]]
        digest = ledger.body_sha256(body | {"files": [ledger.sha256(each) for each in frames]})
        word = protocol.fate_of(self._state, request, body["prompt"], digest)
        made = takes.plan(
            NAME, body, text=body["prompt"], fate=word, now=time.time(), speed=self._state.speed,
            id=ID_PREFIX + secrets.token_hex(24),
        )  # fmt: skip
        with self._state.transaction() as db:
            takes.insert(db, made)
            for frame in frames:
                uploads.insert(db, uploads.Upload(made.id, "input_reference", "", frame, made.created_at))
            price = SECOND_USD[body["model"]] * int(body["seconds"])
            protocol.sell(self._state, made.id, digest, body["prompt"], price)
            self._endpoints.schedule(request, made.id, "video", made.ends_at)
        if word == "reset":
            request[DELIVERY] = word
        return self._answer(made)

    async def get(self, request: web.Request) -> web.Response:
        return self._answer(self._found(request))

    async def list(self, request: web.Request) -> web.Response:
        limit, order = request.query.get("limit", "20"), request.query.get("order", "desc")
        if not limit.isdecimal() or not 0 < int(limit) <= MAX_PAGE:
            raise invalid("limit", f"Expected a number from 1 to {MAX_PAGE}.")
        if order not in ("asc", "desc"):
            raise invalid("order", "Supported values are: asc, desc.")
        after, ascending = request.query.get("after"), order == "asc"
        rows = takes.page_after(self._state.db, NAME, after, limit=int(limit) + 1, ascending=ascending)
        page, now = rows[: int(limit)], time.time()
        ends = {"first_id": page[0].id, "last_id": page[-1].id} if page else {"first_id": None, "last_id": None}
        data = [shown(row, now) for row in page]
        return protocol.answered({"object": "list", "data": data, "has_more": len(rows) > len(page), **ends})

    async def delete(self, request: web.Request) -> web.Response:
        found = self._found(request)
        takes.delete(self._state.db, found.id, time.time())
        return protocol.answered({"id": found.id, "object": "video.deleted", "deleted": True})

    async def content(self, request: web.Request) -> web.Response:
        found, now, variant = self._found(request), time.time(), request.query.get("variant", "video")
        if variant not in ("video", "thumbnail"):
            raise invalid("variant", "The sandbox keeps video and thumbnail of a clip, and makes no spritesheet.")
        if "expire" in (found.fate, request[WORD]) or now >= found.ends_at + KEPT_S:
            takes.delete(self._state.db, found.id, now)
            raise ApiError(404, f"The content of video '{found.id}' has expired.")
        if found.phase(now) != "made":
            raise ApiError(404, f"Video '{found.id}' is not ready; its status is {shown(found, now)['status']}.")
        request[DELIVERY] = found.fate
        size, body = _size(found), found.body
        if variant == "thumbnail":
            picture = await self._state.studio.picture(found.text, seed=found.seed, size=size, format="webp")
            return web.Response(body=picture, content_type="image/webp")
        shot = Shot(found.text, found.seed, size, int(body["seconds"]), sound=True)
        frame = uploads.get(self._state.db, found.id)
        clip = await self._state.clips.clip(shot, frame.content if frame else None)
        return web.Response(body=clip, content_type="video/mp4")

    def event(self, id: str) -> str | None:
        """What can be told of one by now: video.completed."""
        found = takes.get(self._state.db, NAME, id)
        return None if found is None else f"video.{STATUSES[found.phase(time.time())]}"

    def _answer(self, take: Take) -> web.Response:
        response = protocol.answered(shown(take, time.time()))
        response.headers["openai-poll-after-ms"] = str(max(1, round(POLL_AFTER_MS / self._state.speed)))
        return response

    def _found(self, request: web.Request) -> Take:
        found = takes.get(self._state.db, NAME, request.match_info["id"])
        if found is None:
            raise ApiError(404, f"Video with id '{request.match_info['id']}' not found.")
        return found


def shown(take: Take, now: float) -> dict[str, Any]:
    """The video as the API shows it at `now` (unix seconds)."""
    phase, made = take.phase(now), take.phase(now) == "made"
    return {
        "id": take.id, "object": "video", "status": STATUSES[phase], **take.body,
        "created_at": int(take.created_at), "completed_at": int(take.ends_at) if made else None,
        "expires_at": int(take.ends_at + KEPT_S) if made else None,
        "progress": {"waiting": 0, "made": 100}.get(phase, int(take.progress(now) * 100)),
        "error": ERRORS[take.fate] if phase == "failed" else None, "remixed_from_video_id": None,
    }  # fmt: skip


def _size(take: Take) -> tuple[int, int]:
    width, _, height = take.body["size"].partition("x")
    return int(width), int(height)


def _checked(fields: dict[str, Any]) -> dict[str, str]:
    """The order with its defaults; a form's numbers are words again."""
    protocol.check_names(fields, KNOWN)
    body = {"model": "sora-2", "seconds": "4", "size": "720x1280"} | {name: str(fields[name]) for name in fields}
    protocol.check_text("prompt", body.get("prompt"), MAX_PROMPT_CHARS)
    if body["model"] not in MODELS:
        raise ApiError(404, f"The model '{body['model']}' does not exist.", code="model_not_found", param="model")
    for name, known in (("seconds", SECONDS), ("size", MODELS[body["model"]])):
        if body[name] not in known:
            raise invalid(name, f"Invalid value: '{body[name]}'. Supported values are: {', '.join(known)}.")
    return body


def _frame(file: bytes) -> bytes:
    try:
        frame_demuxer(file)
    except ValueError as error:
        raise invalid("input_reference", f"Invalid input reference: {error}.") from None
    return file
