"""/openapi.json and /docs: what there is, for programs and for people."""

import asyncio
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import orjson
from aiohttp import web

from jobrunner.api.openapi import document
from jobrunner.api.pages import Page, shown
from jobrunner.api.reference.page import STYLE, page
from jobrunner.api.routes import ROUTES, Route
from jobrunner.client import Client

_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The page has no script, and loads nothing but its style."""

_HTML = "text/html"
_CSS = "text/css"
_JSON = "application/json"


class Reference:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._pages: dict[str, Page] = {}
        self._making = asyncio.Lock()

    def routes(self) -> Iterable[Route]:
        more: dict[str, Any] = {"headers": ("If-None-Match", "ETag")}
        summary = "What there is, as OpenAPI 3.1"
        yield Route("GET", "/openapi.json", self.show, None, summary, answers={200: _JSON, 304: None}, **more)
        yield Route("GET", "/docs", self.show, None, "What there is, to read", answers={200: _HTML, 304: None}, **more)
        yield Route("GET", STYLE, self.show, None, "How that page looks", answers={200: _CSS, 304: None}, **more)

    async def show(self, request: web.Request) -> web.Response:
        async with self._making:
            if not self._pages:
                self._pages = await asyncio.to_thread(self._made, list(request.app[ROUTES].values()))
        return shown(request, self._pages[request.path], policy=_POLICY)

    def _made(self, routes: Iterable[Route]) -> dict[str, Page]:
        """Once for the application. Beside the loop: tasks' models are many, and some are slow to describe."""
        described = document(routes, self._client.tasks)
        style = files(__package__).joinpath("page.css").read_bytes()
        return {
            "/openapi.json": Page(orjson.dumps(described), _JSON),
            "/docs": Page(page(described).encode(), _HTML),
            STYLE: Page(style, _CSS),
        }
