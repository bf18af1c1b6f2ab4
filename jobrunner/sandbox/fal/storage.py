"""fal's CDN: a token for uploads, small uploads, and what was uploaded, open to whoever knows its URL."""

import hashlib
import re
import time
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from jobrunner.sandbox import uploads
from jobrunner.sandbox.fal.protocol import API_KEY, Problem
from jobrunner.sandbox.shop import answer
from jobrunner.sandbox.state import State

TOKEN_S: Final = 3600.0


class Storage:
    def __init__(self, state: State) -> None:
        self._state = state

    async def permit(self, request: web.Request) -> web.Response:
        expires_at = int(time.time() + TOKEN_S)
        told = {"token": f"{expires_at}.{_seal(expires_at)}", "token_type": "Bearer"}
        base_url = str(request.url.origin().with_path("/fal/cdn"))
        return answer(told | {"base_url": base_url, "expires_at": datetime.fromtimestamp(expires_at, UTC).isoformat()})

    async def upload(self, request: web.Request) -> web.Response:
        expires_at, _, seal = request.headers.get("Authorization", "").removeprefix("Bearer ").partition(".")
        if not expires_at.isdecimal() or seal != _seal(int(expires_at)) or time.time() > int(expires_at):
            raise Problem(401, "Invalid upload token")
        name = re.sub(r"[^\w.-]", "_", request.headers.get("X-Fal-File-Name") or "upload.bin")
        content = await request.read()
        upload = uploads.Upload(uploads.new_id(), name, request.content_type, content, time.time())
        uploads.insert(self._state.db, upload)
        return answer({"access_url": f"{request.url.origin()}/fal/cdn/files/{upload.id}/{name}"})

    async def uploaded(self, request: web.Request) -> web.Response:
        upload = uploads.get(self._state.db, request.match_info["id"])
        if upload is None:
            raise Problem(404, "Not found")
        return web.Response(body=upload.content, content_type=upload.mime)


def _seal(expires_at: int) -> str:
    return hashlib.sha256(f"{API_KEY}:{expires_at}".encode()).hexdigest()[:32]
