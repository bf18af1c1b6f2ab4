"""Replicate's files API: what clients send ahead of the prediction that names it."""

import time

from aiohttp import web

from jobrunner.sandbox import uploads
from jobrunner.sandbox.replicate.protocol import Problem, nowhere
from jobrunner.sandbox.shop import answer
from jobrunner.sandbox.state import State


class Uploads:
    def __init__(self, state: State) -> None:
        self._state = state

    async def create(self, request: web.Request) -> web.Response:
        if not request.content_type.startswith("multipart/"):
            raise Problem(400, "Send multipart/form-data with a part named content.")
        content = (await request.post()).get("content")
        if not isinstance(content, web.FileField):
            raise Problem(400, "Missing content")
        raw = content.file.read()
        made = uploads.Upload(uploads.new_id(), content.filename, content.content_type, raw, time.time())
        uploads.insert(self._state.db, made)
        shown = uploads.shown(made, str(request.url.origin()))
        return answer(shown, status=201)

    async def get(self, request: web.Request) -> web.Response:
        return answer(uploads.shown(self._found(request), str(request.url.origin())))

    async def list(self, request: web.Request) -> web.Response:
        """All of them in one page, whichever provider's client sent them."""
        origin = str(request.url.origin())
        results = [uploads.shown(each, origin) for each in uploads.newest_first(self._state.db)]
        return answer({"next": None, "previous": None, "results": results})

    async def delete(self, request: web.Request) -> web.Response:
        uploads.delete(self._state.db, self._found(request).id)
        return web.Response(status=204)

    def _found(self, request: web.Request) -> uploads.Upload:
        found = uploads.get(self._state.db, request.match_info["id"])
        if found is None:
            raise nowhere()
        return found
