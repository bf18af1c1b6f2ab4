"""The dashboard as it is served: the page, its files, and what a browser is told that they may do."""

import re
from collections.abc import Iterator
from importlib.resources import files

import aiohttp
import pytest

from jobrunner.api import dashboard
from tests.integration.api.conftest import problem, raw

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


async def test_the_root_is_a_page_to_browsers_and_json_to_programs(
    http: aiohttp.ClientSession, subtests: pytest.Subtests
) -> None:
    for accept, media_type in {
        CHROME: "text/html",
        "text/html": "text/html",
        "application/json;q=0.5, text/html;q=0.9": "text/html",
        "*/*": "application/json",
        "application/json": "application/json",
        "application/json, text/html": "application/json",
        "text/html;q=0": "application/json",
        "text/html;q=much": "application/json",
        "": "application/json",
    }.items():
        with subtests.test(accept=accept):
            async with http.get("/", headers={"Accept": accept}) as answer:
                assert (answer.status, answer.content_type) == (200, media_type)
                assert "Accept" in answer.headers["Vary"]


async def test_the_page_may_load_nothing_but_what_is_ours(http: aiohttp.ClientSession) -> None:
    async with http.get("/", headers={"Accept": CHROME}) as answer:
        policy = dict(each.split(" ", 1) for each in answer.headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' blob:",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


async def test_all_that_the_page_needs_is_there_and_sent_once(http: aiohttp.ClientSession) -> None:
    async with http.get("/", headers={"Accept": CHROME}) as answer:
        todo = set(re.findall(r'(?:href|src)="(/dashboard/[^"]+)"', await answer.text()))
    done: set[str] = set()
    while todo:
        path = todo.pop()
        done.add(path)
        async with http.get(path) as answer:
            assert answer.status == 200, path
            assert answer.content_type == MEDIA_TYPES[path.rpartition(".")[2]]
            todo |= {*named_in(path, await answer.text())} - done
            tag = answer.headers["ETag"]
        async with http.get(path, headers={"If-None-Match": tag}) as answer:
            assert answer.status == 304
    assert {f"/dashboard/{name}" for name in everything()} - done == {"/dashboard/index.html"}, (
        "a file is never asked for"
    )


def named_in(path: str, text: str) -> Iterator[str]:
    """The addresses of what a module imports or shows."""
    folder = path.rpartition("/")[0]
    for name in re.findall(r'(?:from|import) "(\.[^"]+)"|import\("(\.[^"]+)"\)', text):
        parts = f"{folder}/{''.join(name)}".replace("/./", "/").split("/")
        while ".." in parts:
            at = parts.index("..")
            del parts[at - 1 : at + 1]
        yield "/".join(parts)
    yield from re.findall(r'"(/dashboard/[^"]+)"', text)


def everything() -> Iterator[str]:
    static = files(dashboard).joinpath("static")
    for each in static.iterdir():
        if each.is_dir():
            yield from (f"{each.name}/{inner.name}" for inner in each.iterdir())
        else:
            yield each.name


async def test_no_path_leads_out_of_the_files(http: aiohttp.ClientSession, subtests: pytest.Subtests) -> None:
    for path in (
        "nothing.js",
        "",
        "pages",
        "pages/",
        "session.py",
        "..%2fsession.py",
        "%2e%2e/session.py",
        "//etc/passwd",
    ):
        with subtests.test(path=path):
            assert await raw(http, f"GET /dashboard/{path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode()) == 404
    async with http.get("/dashboard/nothing.js") as answer:
        await problem(answer, 404, "not_found")
