"""Replicate's HTTP API: create by model or version, poll, cancel, list, uploads, webhooks, files gone in an hour.

Output comes at the end and all at once, so the events `output` and `completed` of good work are one call. Not spoken:
the stream URL, deployments. It downloads no inputs.
"""

import asyncio
import base64
import binascii
import contextlib
import re
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from jobrunner.sandbox import ledger, signatures
from jobrunner.sandbox.faults import DELIVERY, WORD, refuse, word_in
from jobrunner.sandbox.replicate import catalogue, files, prediction, webhooks
from jobrunner.sandbox.replicate.prediction import Prediction
from jobrunner.sandbox.replicate.protocol import REFUSALS, Problem, answer_problems, invalid, nowhere
from jobrunner.sandbox.replicate.uploads import Uploads
from jobrunner.sandbox.shop import answer, read_object
from jobrunner.sandbox.state import State
from jobrunner.sandbox.webhooks import Call

PAGE: Final = 100
DEFAULT_WAIT_S: Final = 60.0


class Replicate:
    name = "replicate"
    refusals = REFUSALS

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: dict[str, asyncio.Event] = {}
        state.webhooks.speak_for(self.name, self.tell, signatures.standard)

    @property
    def speed(self) -> float:
        return self._state.speed

    def app(self) -> web.Application:
        app = web.Application(middlewares=[answer_problems])
        guard, uploads = self._state.faults.guard, Uploads(self._state)
        app.add_routes(
            [
                web.post("/v1/models/{owner}/{name}/predictions", guard(self, "create", self.create)),
                web.get("/v1/models/{owner}/{name}/versions/{version}", self.version),
                web.post("/v1/predictions", guard(self, "create", self.create)),
                web.get("/v1/predictions", guard(self, "list", self.list)),
                web.get("/v1/predictions/{id}", guard(self, "poll", self.get)),
                web.post("/v1/predictions/{id}/cancel", guard(self, "cancel", self.cancel)),
                web.get("/files/{id}/{file}", guard(self, "file", self.file)),
                web.post("/v1/files", uploads.create),
                web.get("/v1/files", uploads.list),
                web.get("/v1/files/{id}", uploads.get),
                web.delete("/v1/files/{id}", uploads.delete),
                web.get("/v1/webhooks/default/secret", self.secret),
                web.get("/v1/account", self.account),
            ]
        )
        return app

    async def create(self, request: web.Request) -> web.Response:
        body = await read_object(request, Problem)
        model, version = _model(request, body)
        try:
            input = catalogue.checked(model, body.get("input"))
            files.pictures(self._state, model, input)
            asked = webhooks.asked(body)
        except catalogue.InvalidInput as error:
            raise invalid(error.field, error.description) from None
        text = catalogue.words(input)
        digest, word = ledger.body_sha256(body), request[WORD] or word_in(text)
        if self._state.faults.refuses(word, digest):
            return refuse(REFUSALS, word)
        now = time.time()
        made = prediction.plan(
            model=model, version=version, input=input, fate=word, now=now, speed=self.speed,
            deadline_s=_duration(request.headers.get("Cancel-After")),
        )  # fmt: skip
        price = catalogue.price_usd(model, input)
        with self._state.transaction() as db:
            prediction.insert(db, made)
            ledger.record(db, ledger.Purchase(self.name, made.id, digest, text, now, price))
            if asked is not None:
                origin, due = str(request.url.origin()), webhooks.due(made, asked.events)
                self._state.webhooks.schedule(self.name, made.id, due, url=asked.url, origin=origin)
        if word == "reset":
            request[DELIVERY] = word
        elif (wait_s := _wait(request.headers.get("Prefer", ""))) is not None:
            made = await self._wait_for(made, wait_s)
        return _shown(request, made, status=201)

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
        return _shown(request, self._found(request.match_info["id"]))

    async def cancel(self, request: web.Request) -> web.Response:
        found, now = self._found(request.match_info["id"]), time.time()
        if now < found.ends_at:
            prediction.stop(self._state.db, found.id, now)
            self._state.webhooks.hasten(found.id)
            if found.id in self._waiting:
                self._waiting[found.id].set()
        return _shown(request, self._found(found.id))

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
        return answer(body)

    async def file(self, request: web.Request) -> web.Response:
        found, now = self._found(request.match_info["id"]), time.time()
        input, name = found.arguments, request.match_info["file"]
        expired = "expire" in (found.fate, request[WORD])
        if expired:
            prediction.expire(self._state.db, found.id, now)
        there = found.status(now) == "succeeded" and not found.removed(now)
        names = catalogue.file_names(found.model, input) if there else []
        if expired or name not in names:
            raise web.HTTPNotFound(text="This file does not exist or has expired.")
        request[DELIVERY] = found.fate
        try:
            at = names.index(name)
            made, mime = await files.make(self._state, found.model, input, seed=found.seed, at=at)
        except catalogue.InvalidInput as error:
            raise web.HTTPNotFound(text=f"An input of this prediction is gone: {error}") from None
        return web.Response(body=made, content_type=mime)

    async def version(self, request: web.Request) -> web.Response:
        """Clients look at the schema, to know what shape the output has."""
        asked, model = request.match_info, "{owner}/{name}".format(**request.match_info)
        told = {"id": asked["version"], "created_at": prediction.iso(0.0), "cog_version": "0.16.0"}
        return answer(told | {"openapi_schema": catalogue.schema(model)})

    async def account(self, _request: web.Request) -> web.Response:
        return answer({"type": "organization", "username": "sandbox", "name": "The sandbox", "github_url": None})

    async def secret(self, _request: web.Request) -> web.Response:
        return answer({"key": self._state.webhooks.secret(self.name)})

    async def tell(self, call: Call) -> bytes | None:
        found, now = self._found(call.work), time.time()
        happened = webhooks.happened(found, call.event, now)
        return orjson.dumps(prediction.shown(found, call.origin, now)) if happened else None

    def _found(self, id: str) -> Prediction:
        found = prediction.get(self._state.db, id)
        if found is None:
            raise nowhere()
        return found


def _shown(request: web.Request, row: Prediction, *, status: int = 200) -> web.Response:
    body = prediction.shown(row, str(request.url.origin()), time.time())
    return answer(body, status=status)


def _model(request: web.Request, body: Mapping[str, Any]) -> tuple[str, str]:
    """(owner/name, version): what is asked for in the path or by `version`, which may hold either or both."""
    if "owner" in request.match_info:
        owner, name, version = request.match_info["owner"], request.match_info["name"], "hidden"
    else:
        asked = body.get("version")
        named = isinstance(asked, str) and re.fullmatch(r"(?:([\w.-]+)/([\w.-]+))?:?([0-9a-f]{64})?", asked)
        if not asked or not named:
            raise invalid("version", "version is required: a 64-character id, owner/name or owner/name:id")
        owner, name = named[1] or "black-forest-labs", named[2] or "flux-schnell"
        version = named[3] or "hidden"
    if owner == "missing":
        raise nowhere()
    return f"{owner}/{name}", version


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
        raise invalid("Cancel-After", f"{text!r} is no duration such as 30s, 1m or 1h30m45s")
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
        raise Problem(400, "Invalid cursor") from None
