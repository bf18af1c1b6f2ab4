"""Replicate's HTTP API: create by model or version, poll, cancel, list, uploads, and files that are gone in an hour.

Not spoken: webhooks (accepted, never called), the stream URL, deployments. It downloads no inputs.
"""

import asyncio
import base64
import binascii
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from jobrunner.sandbox import ledger, prediction, uploads
from jobrunner.sandbox import replicate_models as models
from jobrunner.sandbox.clips import Shot
from jobrunner.sandbox.faults import DELIVERY, WORD, refuse, word_in
from jobrunner.sandbox.prediction import Prediction
from jobrunner.sandbox.state import State

API_KEY: Final = "test-key"
PAGE: Final = 100
DEFAULT_WAIT_S: Final = 60.0


class Problem(Exception):
    """An answer that is an error, in Replicate's problem JSON."""

    def __init__(self, status: int, title: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.body = status, {"title": title, "detail": detail, "status": status, **more}

    def response(self) -> web.Response:
        return web.Response(status=self.status, body=orjson.dumps(self.body), content_type="application/problem+json")


REFUSALS: Final = {
    "429": Problem(429, "Too Many Requests", "Request was throttled. Your rate limit resets in ~1s."),
    "quota": Problem(402, "Insufficient credit", "You have insufficient credit to run this model. Add credit."),
    "503": Problem(503, "Service Unavailable", "The service is overloaded."),
    "500": Problem(500, "Internal Server Error", "An unexpected error occurred."),
}


class Replicate:
    name = "replicate"
    refusals = REFUSALS

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: dict[str, asyncio.Event] = {}

    @property
    def speed(self) -> float:
        return self._state.speed

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_answer_problems], client_max_size=32 * 2**20)
        guard = self._state.faults.guard
        app.add_routes(
            [
                web.post("/v1/models/{owner}/{name}/predictions", guard(self, "create", self.create)),
                web.post("/v1/predictions", guard(self, "create", self.create)),
                web.get("/v1/predictions", guard(self, "list", self.list)),
                web.get("/v1/predictions/{id}", guard(self, "poll", self.get)),
                web.post("/v1/predictions/{id}/cancel", guard(self, "cancel", self.cancel)),
                web.get("/files/{id}/{file}", guard(self, "file", self.file)),
                web.post("/v1/files", self.upload),
                web.get("/v1/files/{id}", self.uploaded),
            ]
        )
        return app

    async def create(self, request: web.Request) -> web.Response:
        body = await _json(request)
        model, version = _model(request, body)
        try:
            input = models.checked(model, body.get("input"))
            if models.films(model) and "image" in input:
                self._first_frame(input["image"])
        except models.InvalidInput as error:
            raise _invalid(error.field, error.description) from None
        digest, word = ledger.body_sha256(body), request[WORD] or word_in(input["prompt"])
        if self._state.faults.refuses(word, digest):
            return refuse(REFUSALS, word)
        now = time.time()
        made = prediction.plan(
            model=model, version=version, input=input, fate=word, now=now, speed=self.speed,
            deadline_s=_duration(request.headers.get("Cancel-After")),
        )  # fmt: skip
        price = models.price_usd(model, input)
        with self._state.transaction() as db:
            prediction.insert(db, made)
            ledger.record(db, ledger.Purchase(self.name, made.id, digest, input["prompt"], now, price))
        if word == "reset":
            request[DELIVERY] = word
        elif (wait_s := _wait(request.headers.get("Prefer", ""))) is not None:
            made = await self._wait_for(made, wait_s)
        return _answer(request, made, status=201)

    async def _wait_for(self, made: Prediction, wait_s: float) -> Prediction:
        until = min(made.ends_at, time.time() + wait_s)
        changed = self._waiting[made.id] = asyncio.Event()
        try:
            # Asked again, since a busy loop's timers may fire early and the answer would be one status behind.
            while (left_s := until - time.time()) > 0 and not changed.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), left_s)
        finally:
            del self._waiting[made.id]
        return self._found(made.id)

    async def get(self, request: web.Request) -> web.Response:
        return _answer(request, self._found(request.match_info["id"]))

    async def cancel(self, request: web.Request) -> web.Response:
        found, now = self._found(request.match_info["id"]), time.time()
        if now < found.ends_at:
            prediction.stop(self._state.db, found.id, now)
            if found.id in self._waiting:
                self._waiting[found.id].set()
        return _answer(request, self._found(found.id))

    async def list(self, request: web.Request) -> web.Response:
        older, newer = _cursor(request.query.get("cursor"))
        rows = prediction.page(self._state.db, older_than=older, newer_than=newer, limit=PAGE)
        here = request.url.origin().with_path(request.path)
        above = rows and prediction.page(self._state.db, older_than=None, newer_than=rows[0][0], limit=1)
        below = rows and prediction.page(self._state.db, older_than=rows[-1][0], newer_than=None, limit=1)
        origin, now = str(request.url.origin()), time.time()
        body = {
            "next": str(here.with_query(cursor=_cursor_text("older", rows[-1][0]))) if below else None,
            "previous": str(here.with_query(cursor=_cursor_text("newer", rows[0][0]))) if above else None,
            "results": [prediction.shown(row, origin, now) for _, row in rows],
        }
        return web.json_response(body=orjson.dumps(body))

    async def file(self, request: web.Request) -> web.Response:
        found, now = self._found(request.match_info["id"]), time.time()
        model, input, name = found.model, found.arguments, request.match_info["file"]
        expired = "expire" in (found.fate, request[WORD])
        if expired:
            prediction.expire(self._state.db, found.id, now)
        names = models.file_names(model, input) if found.status(now) == "succeeded" and not found.removed(now) else []
        if expired or name not in names:
            raise web.HTTPNotFound(text="This file does not exist or has expired.")
        request[DELIVERY] = found.fate
        size = models.size(model, input)
        if models.films(model):
            shot = Shot(input["prompt"], found.seed, size, input.get("duration", models.FILM_S))
            frame = self._first_frame(input["image"]) if "image" in input else None
            return web.Response(body=await self._state.clips.clip(shot, frame), content_type="video/mp4")
        format, seed = models.FORMATS[name.rpartition(".")[2]], found.seed + names.index(name)
        picture = await self._state.studio.picture(input["prompt"], seed=seed, size=size, format=format)
        return web.Response(body=picture, content_type=f"image/{format}")

    def _first_frame(self, given: Any) -> bytes:
        """The picture in a data: URI or behind the URL of an upload. Raises InvalidInput for any other."""
        if not isinstance(given, str):
            raise models.InvalidInput("input.image", "Invalid type. Expected: string")
        picture = models.inline_picture(given)
        kept = uploads.get(self._state.db, given.rpartition("/replicate/v1/files/")[2]) if picture is None else None
        if picture is None and kept is None:
            raise models.InvalidInput("input.image", "Must be a data: URI or an uploaded file's URL")
        return kept.content if kept else picture or b""

    async def upload(self, request: web.Request) -> web.Response:
        if not request.content_type.startswith("multipart/"):
            raise Problem(400, "Bad Request", "Send multipart/form-data with a part named content.")
        content = (await request.post()).get("content")
        if not isinstance(content, web.FileField):
            raise Problem(400, "Bad Request", "Missing content")
        raw = content.file.read()
        made = uploads.Upload(uploads.new_id(), content.filename, content.content_type, raw, time.time())
        uploads.insert(self._state.db, made)
        shown = uploads.shown(made, str(request.url.origin()))
        return web.json_response(body=orjson.dumps(shown), status=201)

    async def uploaded(self, request: web.Request) -> web.Response:
        found = uploads.get(self._state.db, request.match_info["id"])
        if found is None:
            raise Problem(404, "Not found", "The requested resource could not be found.")
        return web.json_response(body=orjson.dumps(uploads.shown(found, str(request.url.origin()))))

    def _found(self, id: str) -> Prediction:
        found = prediction.get(self._state.db, id)
        if found is None:
            raise Problem(404, "Not found", "The requested resource could not be found.")
        return found


def _answer(request: web.Request, row: Prediction, *, status: int = 200) -> web.Response:
    body = prediction.shown(row, str(request.url.origin()), time.time())
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


@web.middleware
async def _answer_problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        _authenticate(request)
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPException as error:
        return Problem(error.status, error.reason, error.text or error.reason).response()


def _authenticate(request: web.Request) -> None:
    """Files are open to whoever knows their URL, as the real ones are."""
    api = not request.path.startswith("/replicate/files/")
    if api and request.headers.get("Authorization") != f"Bearer {API_KEY}":
        raise Problem(401, "Unauthenticated", "You did not pass a valid authentication token")


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Problem(400, "Invalid JSON", f"The request body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise _invalid("(root)", "Invalid type. Expected: object")
    return body


def _model(request: web.Request, body: Mapping[str, Any]) -> tuple[str, str]:
    """(owner/name, version): what is asked for in the path or by `version`, which may hold either or both."""
    if "owner" in request.match_info:
        owner, name, version = request.match_info["owner"], request.match_info["name"], "hidden"
    else:
        asked = body.get("version")
        named = isinstance(asked, str) and re.fullmatch(r"(?:([\w.-]+)/([\w.-]+))?:?([0-9a-f]{64})?", asked)
        if not asked or not named:
            raise _invalid("version", "version is required: a 64-character id, owner/name or owner/name:id")
        owner, name = named[1] or "black-forest-labs", named[2] or "flux-schnell"
        version = named[3] or "hidden"
    if owner == "missing":
        raise Problem(404, "Not found", "The requested resource could not be found.")
    return f"{owner}/{name}", version


def _invalid(field: str, description: str) -> Problem:
    fields = [{"type": "invalid", "field": field, "description": description}]
    return Problem(422, "Input validation failed", f"- {field}: {description}\n", invalid_fields=fields)


def _wait(prefer: str) -> float | None:
    """Seconds to hold a create: `wait` is 60, `wait=N` is N from 1 to 60."""
    named = re.search(r"\bwait(?:=(\d+))?", prefer)
    return None if named is None else min(60.0, max(1.0, float(named[1] or DEFAULT_WAIT_S)))


def _duration(text: str | None) -> float | None:
    """`90`, `30s`, `1m`, `1h30m45s` in seconds."""
    if text is None:
        return None
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text.strip())
    seconds = (
        sum(int(part or 0) * unit for part, unit in zip(parts.groups(), (3600, 60, 1), strict=True)) if parts else 0
    )
    if not seconds:
        raise _invalid("Cancel-After", f"{text!r} is no duration such as 30s, 1m or 1h30m45s")
    return float(seconds)


def _cursor_text(side: str, seq: int) -> str:
    return base64.urlsafe_b64encode(f"{side}:{seq}".encode()).decode()


def _cursor(text: str | None) -> tuple[int | None, int | None]:
    if not text:
        return None, None
    try:
        side, _, seq = base64.urlsafe_b64decode(text).decode().partition(":")
        return (int(seq), None) if side == "older" else (None, int(seq))
    except (binascii.Error, ValueError):
        raise Problem(400, "Bad Request", "Invalid cursor") from None
