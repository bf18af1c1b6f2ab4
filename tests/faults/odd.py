"""A provider that speaks as Replicate does, and does wrong what the sandbox never does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import web

from jobrunner.runtime import SANDBOX_KEY
from jobrunner.sandbox.artists.artist import draw

HUGE_BYTES = 200_000
"""More than a test lets an answer have."""

Oddity = Literal["huge", "cut", "stale"]


@dataclass
class Odd:
    """What is odd about it.

    `huge`: its answer to a create is one that nobody reads to its end. `cut`: its files break off, and no header says
    how long they are. `stale`: the first URLs that it gives are forbidden.
    """

    oddity: Oddity
    port: int = 0
    sold: dict[str, dict[str, Any]] = field(default_factory=dict)
    _polls: int = 0

    def settings(self) -> dict[str, Any]:
        """What a worker has to be told to buy here."""
        here = f"127.0.0.1:{self.port}"
        provider = {"base_url": f"http://{here}", "api_key": SANDBOX_KEY}
        return {"providers": {"replicate": provider}, "net": {"allow": (here,)}}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Odd"]:
        app = web.Application()
        app.router.add_post("/v1/models/{owner}/{name}/predictions", self._create)
        app.router.add_get("/v1/predictions", self._list)
        app.router.add_get("/v1/predictions/{id}", self._poll)
        app.router.add_get("/files/{poll}/picture.png", self._file)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _create(self, request: web.Request) -> web.Response:
        made = {"id": f"p{len(self.sold)}", "created_at": datetime.now(UTC).isoformat(), **await request.json()}
        self.sold[made["id"]] = made
        if self.oddity == "huge":
            return web.Response(body=b'"' + bytes(HUGE_BYTES) + b'"', status=201, content_type="application/json")
        return web.json_response({**made, "status": "starting"}, status=201)

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response({"results": list(self.sold.values())})

    async def _poll(self, request: web.Request) -> web.Response:
        self._polls += 1
        url = f"http://{request.host}/files/{self._polls}/picture.png"
        return web.json_response({**self.sold[request.match_info["id"]], "status": "succeeded", "output": [url]})

    async def _file(self, request: web.Request) -> web.Response:
        picture = draw("a harbour", 1, 64, 64)
        if self.oddity == "stale" and request.match_info["poll"] == "1":
            return web.Response(status=403)
        if self.oddity == "cut":
            assert request.transport is not None
            request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n" + picture[:-100])
            request.transport.close()
        return web.Response(body=picture, content_type="image/png")
