"""fal's queue: submit, status, result, cancel; the CDN's small uploads; files that live as long as was asked for.

What is wrong with an input is told by the result alone, as fal does it: the queue takes any JSON object. A webhook
(`?fal_webhook=URL`) gets what the result would say. Not spoken: logs, the status stream, uploads in parts, priorities.
"""

import base64
import math
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from jobrunner.sandbox import ledger, signatures, takes
from jobrunner.sandbox.fal import catalogue
from jobrunner.sandbox.fal.protocol import JWKS, REFUSALS, Problem, answer_problems
from jobrunner.sandbox.fal.storage import Storage
from jobrunner.sandbox.faults import DELIVERY, WORD, refuse, word_in
from jobrunner.sandbox.shop import answer, read_object
from jobrunner.sandbox.state import State
from jobrunner.sandbox.takes import Take
from jobrunner.sandbox.webhooks import Call, NotHere, loopback

KEPT_S: Final = 3600.0
KEPT_LARGE_S: Final = 360.0
"""fal keeps a result for an hour, and one of 10 KB or more, as `sync_mode` makes it, for six minutes."""
NAMESPACES: Final = frozenset({"workflows", "comfy"})
NO_OWNERS: Final = frozenset({"rest", "cdn", "files"})


class Fal:
    name = "fal"
    refusals = REFUSALS

    def __init__(self, state: State) -> None:
        self._state = state
        state.webhooks.speak_for(self.name, self.tell, signatures.fal)

    @property
    def speed(self) -> float:
        return self._state.speed

    def app(self) -> web.Application:
        app = web.Application(middlewares=[answer_problems])
        guard, storage = self._state.faults.guard, Storage(self._state)
        app.add_routes(
            [
                web.post("/rest/storage/auth/token", storage.permit),
                web.get(JWKS, self.keys),
                web.post("/cdn/files/upload", storage.upload),
                web.get("/cdn/files/{id}/{name}", storage.uploaded),
                web.get("/files/{id}/{name}", guard(self, "file", self.file)),
                web.get("/{app:.+}/requests/{id}/status", guard(self, "poll", self.status)),
                web.get("/{app:.+}/requests/{id}", guard(self, "poll", self.result)),
                web.put("/{app:.+}/requests/{id}/cancel", guard(self, "cancel", self.cancel)),
                web.post("/{model:.+}", guard(self, "create", self.create)),
            ]
        )
        return app

    async def create(self, request: web.Request) -> web.Response:
        model, input = request.match_info["model"], await read_object(request, Problem)
        app, webhook = _app(model), _webhook(request)
        text = catalogue.words(input)
        digest, word = ledger.body_sha256({"model": model, "input": input}), request[WORD] or word_in(text)
        if self._state.faults.refuses(word, digest):
            return refuse(REFUSALS, word)
        now, seed = time.time(), input.get("seed")
        wrong = list(catalogue.problems(self._state, model, input))
        body = {
            "model": model, "app": app, "input": input, "wrong": wrong, "files_s": _lifetime_s(request.headers),
            "seed": seed if isinstance(seed, int) else None,
        }  # fmt: skip
        made = takes.plan(self.name, body, text=text, fate=word, now=now, speed=self.speed)
        with self._state.transaction() as db:
            takes.insert(db, made)
            if not wrong:
                price = catalogue.price_usd(model, input)
                ledger.record(db, ledger.Purchase(self.name, made.id, digest, text, now, price))
            if webhook is not None:
                due = [("completed", made.ends_at)]
                self._state.webhooks.schedule(self.name, made.id, due, url=webhook, origin=str(request.url.origin()))
        if word == "reset":
            request[DELIVERY] = word
        return answer(_shown(made, str(request.url.origin())) | {"status": "IN_QUEUE", "queue_position": 0})

    async def status(self, request: web.Request) -> web.Response:
        take, now = self._found(request), time.time()
        shown = _shown(take, str(request.url.origin()))
        match take.phase(now):
            case "waiting":
                return answer(shown | {"status": "IN_QUEUE", "queue_position": 0}, status=202)
            case "running":
                return answer(shown | {"status": "IN_PROGRESS", "logs": None}, status=202)
            case "stopped":
                error = {"error": "Request was cancelled by the client", "error_type": "client_cancelled"}
                return answer(shown | {"status": "COMPLETED", "logs": None, "metrics": {}} | error)
        metrics = {"inference_time": round(take.run_s, 6)}
        return answer(shown | {"status": "COMPLETED", "logs": None, "metrics": metrics})

    async def result(self, request: web.Request) -> web.Response:
        return answer(await self._output(self._found(request), str(request.url.origin())))

    async def tell(self, call: Call) -> bytes | None:
        """What the result would say, in the words of fal's webhook guide."""
        take = takes.get(self._state.db, self.name, call.work)
        if take is None:
            return None
        told: dict[str, Any] = {"request_id": take.id, "gateway_request_id": take.id}
        try:
            told |= {"status": "OK", "payload": await self._output(take, call.origin)}
        except Problem as problem:
            error = f"Invalid status code: {problem.status}"
            told |= {"status": "ERROR", "error": error, "payload": problem.body}
        return orjson.dumps(told)

    async def keys(self, _request: web.Request) -> web.Response:
        return answer(signatures.jwks(self._state.webhooks.secret(self.name)))

    async def _output(self, take: Take, origin: str) -> dict[str, Any]:
        """The model's output as it is. Raises Problem, its error under the error's own status."""
        body = take.body
        match take.phase(time.time()):
            case "waiting" | "running":
                raise Problem(400, "Request is still in progress")
            case "stopped":
                raise Problem(499, "Request was cancelled by the client", type="client_cancelled")
            case "failed":
                raise Problem(422, [_refused(take)], retryable=False)
        if body["wrong"]:
            raise Problem(422, body["wrong"], retryable=False)
        model, input = body["model"], body["input"]
        urls = [f"{origin}/fal/files/{take.id}/{name}" for name in catalogue.names(model, input)]
        if input.get("sync_mode") is True:
            urls = [await self._inline(take, at) for at in range(len(urls))]
        return catalogue.output(model, input, take.seed, urls)

    async def cancel(self, request: web.Request) -> web.Response:
        """What runs is stopped at once, too, where a real model may go on to its end."""
        now = time.time()
        try:
            take = self._found(request)
        except Problem:
            return answer({"status": "NOT_FOUND"}, status=404)
        phase = take.phase(now)
        if phase in ("waiting", "running"):
            takes.stop(self._state.db, take.id, now)
            self._state.webhooks.hasten(take.id)
        match phase:
            case "waiting":
                return answer({"status": "OK"})
            case "running":
                return answer({"status": "CANCELLATION_REQUESTED"}, status=202)
        return answer({"status": "ALREADY_COMPLETED"}, status=400)

    async def file(self, request: web.Request) -> web.Response:
        take, now = takes.get(self._state.db, self.name, request.match_info["id"]), time.time()
        if take is None or take.phase(now) != "made" or take.body["wrong"]:
            raise Problem(404, "Not found")
        body, name = take.body, request.match_info["name"]
        names = catalogue.names(body["model"], body["input"])
        if "expire" in (take.fate, request[WORD]):
            takes.delete(self._state.db, take.id, now)
            names = []
        if name not in names or now >= take.ends_at + (body["files_s"] or math.inf):
            raise Problem(404, "Not found")
        request[DELIVERY] = take.fate
        made = await self._made(take, names.index(name))
        return web.Response(body=made, content_type=catalogue.mime(body["model"], body["input"]))

    async def _made(self, take: Take, at: int) -> bytes:
        body = take.body
        return await catalogue.make(self._state, body["model"], body["input"], take.seed, at)

    async def _inline(self, take: Take, at: int) -> str:
        body, made = take.body, await self._made(take, at)
        return f"data:{catalogue.mime(body['model'], body['input'])};base64,{base64.b64encode(made).decode()}"

    def _found(self, request: web.Request) -> Take:
        """The request that a path names, if it is its app's and not forgotten."""
        take = takes.get(self._state.db, self.name, request.match_info["id"])
        if take is None or request.match_info["app"] != take.body["app"] or time.time() >= _forgotten_at(take):
            raise Problem(404, "Request not found")
        return take


def _webhook(request: web.Request) -> str | None:
    try:
        return loopback(request.query.get("fal_webhook"))
    except NotHere as error:
        raise Problem(422, str(error)) from None


def _app(model: str) -> str:
    """`owner/app`, without the path in the app that a model's id may add."""
    parts = model.split("/")
    length = 3 if parts[0] in NAMESPACES else 2
    if len(parts) < length or "missing" in parts or parts[0] in NO_OWNERS:
        raise Problem(404, f"Application {model!r} not found")
    return "/".join(parts[:length])


def _shown(take: Take, origin: str) -> dict[str, str]:
    url = f"{origin}/fal/{take.body['app']}/requests/{take.id}"
    return {
        "request_id": take.id,
        "response_url": url,
        "status_url": f"{url}/status",
        "cancel_url": f"{url}/cancel",
    }


def _refused(take: Take) -> dict[str, Any]:
    if take.fate == "moderation":
        type, message = "content_policy_violation", "The content was flagged by a content checker."
    else:
        type, message = "value_error", "The prompt asked to fail with [fail]."
    return {"loc": ["body", "prompt"], "msg": message, "type": type, "url": f"https://docs.fal.ai/errors#{type}"}


def _forgotten_at(take: Take) -> float:
    """When status and result are gone."""
    over_at = min(take.ends_at, take.stopped_at or math.inf)
    return over_at + (KEPT_LARGE_S if take.body["input"].get("sync_mode") is True else KEPT_S)


def _lifetime_s(headers: Mapping[str, str]) -> float | None:
    """How long the files are to live: for ever, unless the request says otherwise."""
    try:
        asked = orjson.loads(headers.get("X-Fal-Object-Lifecycle-Preference", "{}"))
        return float(asked["expiration_duration_seconds"]) if asked else None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise Problem(400, "X-Fal-Object-Lifecycle-Preference must be {expiration_duration_seconds: N}") from None
