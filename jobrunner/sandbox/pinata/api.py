"""Pinata's v3 API: pin a file, list, look up, unpin; and a public gateway at `/ipfs/{cid}`, which asks for no key.

Uploads and files have hosts of their own in reality, and one base URL here. Not spoken: TUS, folders, groups,
signed URLs, vectors, the older `/pinning` API.
"""

import asyncio
import os
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import orjson
from aiohttp import BodyPartReader, web

from jobrunner.sandbox import ledger
from jobrunner.sandbox.faults import DELIVERY, SLOW_S, WORD, refuse, word_in
from jobrunner.sandbox.pinata import pins
from jobrunner.sandbox.pinata.cid import CHUNK_BYTES, cid
from jobrunner.sandbox.pinata.pins import Pin
from jobrunner.sandbox.state import State

API_KEY: Final = "test-key"
MAX_BYTES: Final = 256 * 2**20
"""Of one file."""
MAX_FIELD_BYTES: Final = 64 * 1024
MAX_PAGE: Final = 1000
NETWORKS: Final = ("public", "private")
LOST: Final = frozenset({"hang", "reset"})
"""Words in a name that are about the upload's answer; the rest of them is about the file."""


class ApiError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message

    def response(self) -> web.Response:
        return _answer({"error": {"code": self.status, "message": self.message}}, status=self.status)


REFUSALS: Final = {
    "429": ApiError(429, "Rate limit exceeded"),
    "quota": ApiError(403, "Account blocked due to plan usage limit"),
    "503": ApiError(503, "Service Unavailable"),
    "500": ApiError(500, "Internal Server Error"),
}


@dataclass(slots=True)
class _Upload:
    """A multipart form as far as it has arrived; its bytes are in `spool`."""

    spool: Path
    fields: dict[str, str] = field(default_factory=dict)
    filename: str | None = None
    mime: str = ""
    size_bytes: int = 0

    def pin(self, content: str) -> Pin:
        """What is said of the file that `content`, its CID, names. Raises ApiError."""
        network, keyvalues = self.fields.get("network", "private"), self.fields.get("keyvalues") or "{}"
        if network not in NETWORKS:
            raise ApiError(400, "network must be public or private")
        if not _is_object(keyvalues):
            raise ApiError(400, "keyvalues must be a JSON object")
        name, group = self.fields.get("name") or self.filename or content, self.fields.get("group_id")
        id, now = str(uuid.uuid4()), time.time()
        return Pin(id, content, network, name, self.mime, self.size_bytes, keyvalues, group, now, word_in(name))


class Pinata:
    name = "pinata"
    refusals = REFUSALS

    def __init__(self, state: State) -> None:
        self._state = state
        self._directory = state.data_dir / pins.DIRECTORY
        for unfinished in self._directory.glob("*.part"):  # a killed sandbox's
            unfinished.unlink()

    @property
    def speed(self) -> float:
        return self._state.speed

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_answer_errors])
        guard = self._state.faults.guard
        app.add_routes(
            [
                web.post("/v3/files", guard(self, "create", self.upload)),
                web.get("/v3/files/{network}", guard(self, "list", self.list)),
                web.get("/v3/files/{network}/{id}", guard(self, "poll", self.get)),
                web.delete("/v3/files/{network}/{id}", guard(self, "cancel", self.delete)),
                web.get("/v3/data/testAuthentication", self.greet),
                web.get("/ipfs/{cid}", guard(self, "file", self.file)),
            ]
        )
        return app

    async def upload(self, request: web.Request) -> web.Response:
        """The same bytes are pinned once a network: whoever sends them again gets the first pin."""
        self._directory.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._directory, suffix=".part")
        os.close(handle)
        upload = _Upload(Path(name))
        try:
            await _receive(request, upload)
            content = await asyncio.to_thread(lambda: cid(pins.chunks(upload.spool)))
            return await self._kept(request, upload, upload.pin(content))
        except ValueError as error:
            raise ApiError(400, f"The form is malformed: {error}") from None
        finally:
            upload.spool.unlink(missing_ok=True)  # also when cancelled, so nothing may await here

    async def _kept(self, request: web.Request, upload: _Upload, pin: Pin) -> web.Response:
        digest, word = ledger.sha256(pin.cid.encode()), request[WORD] or pin.fate
        if self._state.faults.refuses(word, digest):
            return refuse(REFUSALS, word)
        if word in ("fail", "moderation"):
            raise ApiError(400, f"The upload asked to be refused with [{word}]")
        if word == "slow":
            await asyncio.sleep(SLOW_S / self.speed)
        known = pins.page(self._state.db, pin.network, cid=pin.cid)
        if not known:
            upload.spool.replace(self._directory / pin.cid)
            with self._state.transaction() as db:
                pins.insert(db, replace(pin, fate="" if word in LOST else word))
                ledger.record(db, ledger.Purchase(self.name, pin.id, digest, pin.name, pin.created_at, 0.0))
        if word in LOST:
            request[DELIVERY] = word
        shown = (known[0] if known else pin).shown()
        return _answer({"data": {**shown, "is_duplicate": bool(known)}})

    async def list(self, request: web.Request) -> web.Response:
        limit, offset = min(_number(request, "limit", 10), MAX_PAGE), _number(request, "pageToken", 0)
        network, wanted = _network(request), request.query.get("cid")
        found = pins.page(self._state.db, network, cid=wanted, limit=limit + 1, offset=offset)
        following = str(offset + limit) if len(found) > limit else ""
        return _answer({"data": {"files": [pin.shown() for pin in found[:limit]], "next_page_token": following}})

    async def get(self, request: web.Request) -> web.Response:
        return _answer({"data": self._found(request).shown()})

    async def delete(self, request: web.Request) -> web.Response:
        pin = self._found(request)
        if pins.delete(self._state.db, pin):
            (self._directory / pin.cid).unlink(missing_ok=True)
        return _answer({"data": None})

    async def greet(self, _request: web.Request) -> web.Response:
        return _answer({"message": "Congratulations! You are communicating with the Pinata API!"})

    async def file(self, request: web.Request) -> web.Response:
        """Whole in memory, as every file of the sandbox is, so that a fault may befall it."""
        found = pins.page(self._state.db, "public", cid=request.match_info["cid"])
        if not found or "expire" in (found[0].fate, request[WORD]):
            raise ApiError(404, "The content could not be found")
        request[DELIVERY] = found[0].fate
        content = await asyncio.to_thread((self._directory / found[0].cid).read_bytes)
        headers = {"Content-Type": found[0].mime, "Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=content, headers=headers)

    def _found(self, request: web.Request) -> Pin:
        found = pins.get(self._state.db, _network(request), request.match_info["id"])
        if found is None:
            raise ApiError(404, "File not found")
        return found


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
        return ApiError(error.status, error.reason).response()


def _authenticate(request: web.Request) -> None:
    """The gateway is for everybody."""
    if "cid" not in request.match_info and request.headers.get("Authorization") != f"Bearer {API_KEY}":
        raise ApiError(401, f"Not Authorized; the sandbox knows the JWT {API_KEY}")


async def _receive(request: web.Request, upload: _Upload) -> None:
    """Read the form in whatever order its parts come. Raises ApiError."""
    if request.content_type != "multipart/form-data":
        raise ApiError(400, "Send multipart/form-data with a part named file")
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise ApiError(400, "Nested multipart bodies are not taken")
        if part.name == "file":
            upload.filename, upload.mime = part.filename, part.headers.get("Content-Type", "application/octet-stream")
            with upload.spool.open("wb") as file:
                async for chunk in _chunks(part, MAX_BYTES):
                    upload.size_bytes += file.write(chunk)
        elif part.name is not None:
            value = b"".join([chunk async for chunk in _chunks(part, MAX_FIELD_BYTES)])
            upload.fields[part.name] = value.decode("utf-8", "replace")
    if not upload.mime:
        raise ApiError(400, "No file was uploaded")


async def _chunks(part: BodyPartReader, max_bytes: int) -> AsyncIterator[bytes]:
    """Raises ApiError for more than `max_bytes`."""
    arrived = 0
    while chunk := await part.read_chunk(CHUNK_BYTES):
        arrived += len(chunk)
        if arrived > max_bytes:
            raise ApiError(413, f"{part.name} is larger than {max_bytes} bytes")
        yield chunk


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _network(request: web.Request) -> str:
    network = request.match_info["network"]
    if network not in NETWORKS:
        raise ApiError(404, "Not Found")
    return network


def _number(request: web.Request, field: str, default: int) -> int:
    value = request.query.get(field) or str(default)
    if not value.isdecimal():
        raise ApiError(400, f"{field} must be a number")
    return int(value)


def _answer(body: object, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
