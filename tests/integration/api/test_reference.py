"""/docs: all that there is, on a page that loads nothing of anybody's."""

import re
from html import unescape

import aiohttp
import pytest

from jobrunner.api.app import make_app
from jobrunner.api.codes import OF_JOBS, PROBLEMS
from jobrunner.api.headers import READ, SENT
from jobrunner.api.routes import ROUTES
from jobrunner.runtime import Runtime


@pytest.fixture
async def shown(http: aiohttp.ClientSession) -> str:
    async with http.get("/docs") as answer:
        assert (answer.status, answer.content_type, answer.charset) == (200, "text/html", "utf-8")
        assert "default-src 'none'; style-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        return await answer.text()


async def test_it_tells_of_all_that_there_is(runtime: Runtime, shown: str) -> None:
    text = unescape(re.sub(r"<[^>]+>", " ", shown))
    for route in make_app(runtime)[ROUTES].values():
        assert f"{route.method} {route.path}" in text
        assert route.summary in text
    for code in (*PROBLEMS, *OF_JOBS):
        assert code.word in text
    for header in (*SENT, *READ):
        assert header.name in text
    for name, spec in runtime.client.tasks.items():
        assert f"submit.{name}" in text
        assert spec.summary in text


async def test_every_link_leads_somewhere(http: aiohttp.ClientSession, shown: str) -> None:
    places = set(re.findall(r' id="([^"]*)"', shown))
    assert len(places) == len(re.findall(r' id="', shown)), "an id stands there twice"
    for target in set(re.findall(r'href="([^"]*)"', shown)):
        if target.startswith("#"):
            assert unescape(target[1:]) in {unescape(place) for place in places}, target
        else:
            async with http.get(target) as answer:
                assert (answer.status, answer.content_type) == (200, "text/css")
