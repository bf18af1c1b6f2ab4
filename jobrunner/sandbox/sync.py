"""sync.so's HTTP API: generate (JSON or multipart), poll, list, what it would cost, idempotency keys, and the files.

Inputs are data: URIs, files sent along, or a text to speak; what cannot be read is refused at once, where sync.so
finds out later. A fault word stands in the text, or among the tags of the sound. Keys are kept for ever (sync.so's
guide to idempotent generation requests). Not spoken: URLs elsewhere (the sandbox goes nowhere), assets, segments,
batches, dubbing.
"""

import re
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import web

from jobrunner.request import SyncMode
from jobrunner.sandbox import ledger, signatures, takes, uploads
from jobrunner.sandbox.artists import speeches
from jobrunner.sandbox.artists.lips import FPS, SYNC_MODES
from jobrunner.sandbox.faults import words_of
from jobrunner.sandbox.shop import Refusal, Shop, answer, answering, read_object
from jobrunner.sandbox.state import State
from jobrunner.sandbox.takes import Take
from jobrunner.sandbox.uploads import Upload
from jobrunner.sandbox.webhooks import Call, NotHere, loopback

API_KEY: Final = "test-key"
SECOND_USD: Final = {
    "lipsync-2": 0.05, "lipsync-2-pro": 0.083, "lipsync-1.9.0-beta": 0.02, "react-1": 0.1, "sync-3": 0.133,
}  # fmt: skip
"""About what a second of the result costs, by model."""
FILE_BYTES: Final = 20 * 2**20
SCRIPT_CHARS: Final = 5000
LISTED: Final = 1000
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sync_keys (key TEXT PRIMARY KEY, digest TEXT NOT NULL, generation TEXT NOT NULL)
"""
_KEY: Final = re.compile(r"[A-Za-z0-9._~-]{1,128}")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_STATUSES: Final = {"waiting": "PENDING", "running": "PROCESSING", "made": "COMPLETED"}


class _Failure(NamedTuple):
    status: str
    error: str
    code: str | None


_FAILURES: Final = {
    "moderation": _Failure("REJECTED", "The content was flagged by the moderation.", None),
    "fail": _Failure("FAILED", "The input asked for it with [fail].", "generation_input_validation_failed"),
}


def error(status: int, message: str, code: str | None = None) -> Refusal:
    body = {"statusCode": status, "message": message}
    return Refusal(status, body if code is None else body | {"errorCode": code})


REFUSALS: Final = {
    "429": error(429, "Too many requests: at most 60 generations a minute."),
    "quota": error(402, "Your plan's limit is reached. Upgrade it, or pay the open invoice."),
    "503": error(503, "Service Unavailable"),
    "500": error(500, "Internal Server Error"),
}


def missing() -> Refusal:
    return error(404, "Generation not found")


class Sync(Shop):
    name = "sync"
    refusals = REFUSALS

    def __init__(self, state: State) -> None:
        super().__init__(state)
        state.db.execute(SCHEMA)
        state.webhooks.speak_for(self.name, self.tell, signatures.sync)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[answering(_authenticate, error)])
        guard = self._state.faults.guard
        app.add_routes(
            [
                web.post("/v2/generate", guard(self, "create", self.create)),
                web.get("/v2/generate/{id}", guard(self, "poll", self.get)),
                web.get("/v2/generations", guard(self, "list", self.list)),
                web.post("/v2/analyze/cost", self.estimate),
                web.get("/uploads/{id}/{name}", self.uploaded),
                web.get("/files/{id}/{name}.mp4", guard(self, "file", self.file)),
            ]
        )
        return app

    async def create(self, request: web.Request) -> web.Response:
        key, body, origin = _key(request), await self._body(request), str(request.url.origin())
        digest = ledger.body_sha256(body)
        made = self._replayed(key, digest)
        if made is None:
            length_s, text = await self._measured(_checked(body))
            made = self._replayed(key, digest)  # a twin may have been quicker while this one was measured
        if made is None:
            price, kept = round(SECOND_USD[body["model"]] * length_s, 6), body | {"length_s": length_s}
            with self.sale(request, kept, text=text, price_usd=price) as made:
                if key is not None:
                    self._state.db.execute("INSERT INTO sync_keys VALUES (?, ?, ?)", (key, digest, made.id))
                if body.get("webhookUrl"):
                    over = [("over", made.ends_at)]
                    self._state.webhooks.schedule(self.name, made.id, over, url=body["webhookUrl"], origin=origin)
        return answer(_shown(made, origin), status=201)

    async def get(self, request: web.Request) -> web.Response:
        return answer(_shown(self.found(request.match_info["id"], missing()), str(request.url.origin())))

    async def tell(self, call: Call) -> bytes | None:
        """The generation, as GET shows it at its end."""
        made = takes.get(self._state.db, self.name, call.work)
        return None if made is None else orjson.dumps(_shown(made, call.origin))

    async def list(self, request: web.Request) -> web.Response:
        """Newest first; `status` and `ids` hold several words, separated by commas or given several times."""
        wanted = {name: ",".join(request.query.getall(name, [])) for name in ("status", "ids")}
        rows = takes.page(self._state.db, self.name, limit=LISTED, offset=0)
        shown = [_shown(row, str(request.url.origin())) for row in rows]
        if wanted["status"]:
            shown = [each for each in shown if each["status"] in wanted["status"].split(",")]
        if wanted["ids"]:
            shown = [each for each in shown if each["id"] in wanted["ids"].split(",")]
        return answer(shown)

    async def estimate(self, request: web.Request) -> web.Response:
        body = _checked(await self._body(request))
        length_s, _ = await self._measured(body)
        cost = round(SECOND_USD[body["model"]] * length_s, 6)
        return answer([{"estimatedFrameCount": round(length_s * FPS), "estimatedGenerationCost": cost}])

    async def uploaded(self, request: web.Request) -> web.Response:
        upload = uploads.get(self._state.db, request.match_info["id"])
        if upload is None:
            raise missing()
        return web.Response(body=upload.content, content_type=upload.mime)

    async def file(self, request: web.Request) -> web.Response:
        body = self.delivered(request, missing()).body
        video, sound = await self._media(body)
        phonemes = speeches.phonemes(self._state.db, sound)
        film = await self._state.lips.synced(video, sound, _sync_mode(body), phonemes)
        return web.Response(body=film, content_type="video/mp4")

    def _replayed(self, key: str | None, digest: str) -> Take | None:
        """The generation that was made under this key already. Raises Refusal if it was made of something else."""
        row = self._state.db.execute("SELECT digest, generation FROM sync_keys WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if row[0] != digest:
            raise error(409, "This Idempotency-Key was used with another payload.", "IDEMPOTENCY_KEY_CONFLICT")
        return self.found(row[1], missing())

    async def _body(self, request: web.Request) -> dict[str, Any]:
        """As JSON has it. Files that come along are kept first, by their hash, and named as their uploads' URLs."""
        if request.content_type != "multipart/form-data":
            return await read_object(request, error)
        form = await request.post()
        body: dict[str, Any] = {name: form[name] for name in ("model", "webhookUrl") if name in form}
        for name in ("input", "options"):
            if name in form:
                body[name] = _parsed(name, form[name])
        for kind in ("video", "audio"):
            if isinstance(field := form.get(kind), web.FileField):
                with field.file:
                    path = self._kept(kind, field.content_type, field.file.read())
                body.setdefault("input", []).append({"type": kind, "url": f"{request.url.origin()}{path}"})
        return body

    def _kept(self, kind: str, mime: str, content: bytes) -> str:
        """The path at which a file that came along is from now on."""
        if len(content) > FILE_BYTES:
            raise error(413, f"{kind}: a file may have at most {FILE_BYTES:,} bytes")
        upload = Upload(ledger.sha256(content), kind, mime, content, time.time())
        if uploads.get(self._state.db, upload.id) is None:
            uploads.insert(self._state.db, upload)
        return f"/sync/uploads/{upload.id}/{kind}"

    async def _measured(self, body: Mapping[str, Any]) -> tuple[float, str]:
        """How many seconds the result will have, and the words that the sound says or is tagged with."""
        video, sound = await self._media(body)
        try:
            pair = await self._state.lips.measured(video, sound)
        except ValueError as problem:
            raise error(400, f"input: {problem}") from None
        script = _input(body, "text").get("provider", {}).get("script")
        return pair.length_s(_sync_mode(body)), script or words_of(sound)

    async def _media(self, body: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """The video and the sound of a checked body, the sound perhaps spoken; nothing where a URL leads elsewhere."""
        video = uploads.content_at(self._state.db, str(_input(body, "video").get("url")))
        if spoken := _input(body, "text"):
            provider = spoken["provider"]
            return video, await self._state.recorder.spoken(provider["script"], str(provider.get("voiceId")))
        return video, uploads.content_at(self._state.db, str(_input(body, "audio").get("url")))


def _shown(take: Take, origin: str) -> dict[str, Any]:
    """The generation as the API shows it now."""
    body, phase = take.body, take.phase(time.time())
    made, failure = phase == "made", _FAILURES.get(take.fate if phase == "failed" else "")
    url = f"{origin}/sync/files/{take.id}/{body.get('outputFileName', 'output')}.mp4"
    return {
        "id": take.id,
        "createdAt": take.created,
        "status": failure.status if failure else _STATUSES[phase],
        "model": body["model"],
        "input": body["input"],
        "options": body.get("options"),
        "webhookUrl": body.get("webhookUrl"),
        "outputUrl": url if made else None,
        "outputDuration": body["length_s"] if made else None,
        "segmentOutputUrl": None,
        "error": failure.error if failure else None,
        "error_code": failure.code if failure else None,
    }


def _authenticate(request: web.Request) -> None:
    """Files are open to whoever knows their URL."""
    api = not request.path.startswith(("/sync/files/", "/sync/uploads/"))
    if api and request.headers.get("x-api-key") != API_KEY:
        raise error(401, "Unauthorized: the API key is missing or invalid")


def _key(request: web.Request) -> str | None:
    """Its idempotency key. Raises Refusal for an empty, doubled or malformed one."""
    keys = request.headers.getall("Idempotency-Key", [])
    if len(keys) > 1 or (keys and not _KEY.fullmatch(keys[0])):
        raise error(400, "Idempotency-Key: one of 1 to 128 letters of A-Za-z0-9._~-", "INVALID_IDEMPOTENCY_KEY")
    return keys[0] if keys else None


def _parsed(name: str, field: Any) -> Any:
    try:
        return orjson.loads(field)
    except (orjson.JSONDecodeError, TypeError):
        raise error(400, f"{name}: expected JSON") from None


def _checked(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("model") not in SECOND_USD:
        raise error(400, f"model: expected one of {', '.join(SECOND_USD)}")
    inputs = body.get("input")
    if not isinstance(inputs, list) or not all(isinstance(each, dict) for each in inputs):
        raise error(400, "input: expected a list of objects")
    kinds = sorted(str(each.get("type")) for each in inputs)
    if kinds not in (["audio", "video"], ["text", "video"]):
        raise error(400, "input: expected one video, and one audio or text")
    if spoken := _input(body, "text"):
        script = spoken.get("provider", {}).get("script")
        if not isinstance(script, str) or not 0 < len(script) <= SCRIPT_CHARS:
            raise error(400, f"input: provider.script: expected 1 to {SCRIPT_CHARS} characters")
    if not isinstance(body.get("options", {}), dict | None) or _sync_mode(body) not in SYNC_MODES:
        raise error(400, f"options.sync_mode: expected one of {', '.join(sorted(SYNC_MODES))}")
    name = body.get("outputFileName", "output")
    if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
        raise error(400, "outputFileName: only letters, digits, underscores and hyphens, up to 255")
    try:
        loopback(body.get("webhookUrl"))
    except NotHere as problem:
        raise error(400, f"webhookUrl: {problem}") from None
    return body


def _input(body: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The input of that kind; empty, if there is none."""
    return next((each for each in body["input"] if each["type"] == kind), {})


def _sync_mode(body: Mapping[str, Any]) -> SyncMode:
    mode: SyncMode = (body.get("options") or {}).get("sync_mode") or "cut_off"
    return mode
