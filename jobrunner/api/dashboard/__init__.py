"""The control room: what `/` shows to people, from files that talk to the public API alone."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePath
from typing import Final

from aiohttp import hdrs, web

from jobrunner.api.answers import Server
from jobrunner.api.pages import Page, shown
from jobrunner.api.routes import Route
from jobrunner.api.shapes import answer

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        *("script-src 'self'", "style-src 'self'", "connect-src 'self'"),
        *("img-src 'self' data: blob:", "media-src 'self' blob:"),
        *("form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'"),
    )
)
"""Whatever a prompt smuggles in, the page runs and loads nothing but ours. blob: is for files not yet uploaded."""

_HTML = "text/html"
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".html": _HTML,
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_LINKS: Final = {
    "jobs": "/v1/jobs",
    "tasks": "/v1/tasks",
    "live": "/livez",
    "ready": "/readyz",
    "docs": "/docs",
    "openapi": "/openapi.json",
}


class Dashboard:
    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/", self.home, None, "What there is; to browsers, the dashboard", answers={200: Server})

    def add_files(self, app: web.Application) -> None:
        """Apart from the routes: parts of a page are no API, and stand in no document of it."""
        app.router.add_get("/dashboard/{file:.+}", self.file)

    async def home(self, request: web.Request) -> web.Response:
        if _wants_html(request.headers.get(hdrs.ACCEPT, "")):
            response = shown(request, _static()["index.html"], policy=_POLICY)
        else:
            response = answer({"name": "jobrunner", "version": version("jobrunner"), "links": _LINKS})
        response.headers.add(hdrs.VARY, hdrs.ACCEPT)
        return response

    async def file(self, request: web.Request) -> web.Response:
        """Raises HTTPNotFound for what is none of ours, wherever its path may lead."""
        if (page := _static().get(request.match_info["file"])) is None:
            raise web.HTTPNotFound
        return shown(request, page, policy=_POLICY)


@cache
def _static() -> Mapping[str, Page]:
    """All that there is, by its path under /dashboard/."""
    found = _files_in(files(__package__).joinpath("static"))
    return {name: Page(file.read_bytes(), _MEDIA_TYPES[PurePath(name).suffix]) for name, file in found}


def _files_in(folder: Traversable, at: str = "") -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _files_in(each, f"{at}{each.name}/")
        else:
            yield f"{at}{each.name}", each


def _wants_html(accept: str) -> bool:
    """Whether it names HTML, and JSON less. Source: RFC 9110, section 12.5.1; who takes anything gets JSON."""
    weights = {"application/json": 0.0}
    for each in accept.lower().split(","):
        media_type, *parameters = (part.strip() for part in each.split(";"))
        weights[media_type] = next((_weight(part[2:]) for part in parameters if part.startswith("q=")), 1.0)
    return weights.get(_HTML, 0.0) > weights["application/json"]


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
