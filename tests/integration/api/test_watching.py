"""The events of all jobs: what a caller may see, picked, resumed, and never silently incomplete."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

from jobrunner.api import serving
from jobrunner.api.streams import feeds, news
from jobrunner.broker import changes
from jobrunner.broker.changes import Change
from jobrunner.broker.connection import make_redis
from jobrunner.events import subscribe
from jobrunner.runtime import Runtime, opened
from jobrunner.settings import Settings
from jobrunner.worker.journal import Journal
from jobrunner.worker.previews import Previews
from jobrunner.worker.progress import Progress
from tests.faults.proxy import Proxy
from tests.hostile.pictures import png
from tests.integration.api.conftest import problem, submit, working
from tests.integration.api.keyring import keyed
from tests.integration.api.playing import submit_play
from tests.integration.api.streams import SOON_S, following, reading

EVENTS = "/v1/events"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in (Progress, Journal, Previews):
        monkeypatch.setattr(service, "every_s", 0.01)
    monkeypatch.setattr(feeds, "_AWAY_S", 0.05)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    client = make_redis(redis_url, connections=2)
    yield client
    await client.aclose(close_connection_pool=True)


async def test_whatever_a_job_tells_is_heard_by_who_watches_all(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    async with reading(http, EVENTS) as stream, working(runtime):
        await stream.begun()
        job_id, say = await submit_play(http, "all")
        for line, brief in (
            ((0.25, "sketching"), (0.25, "sketching")),
            ("ink", ("ink", "done")),
            (lambda ctx: ctx.preview(png(8, 6)), ("preview", 8, 6)),
            (lambda ctx: ctx.log("smudged", level="warning", where={"x": 1}), ("warning", "smudged")),
        ):
            say.put_nowait(line)
            told = await stream.until(brief)
            assert (told.data["id"], told.data["task"], told.data["user_id"]) == (job_id, "api_play", "u1")
        assert (told.data["fields"], told.data["attempt"]) == ({"where": {"x": 1}}, 1)
        say.put_nowait(None)
        await stream.until(("status", "completed", 1))


async def test_a_job_s_own_stream_has_its_lines_and_previews_before_its_end(
    runtime: Runtime, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal, "every_s", 3600)
    job_id, say = await submit_play(http, "own")
    async with following(http, job_id) as stream, working(runtime):
        say.put_nowait(lambda ctx: ctx.preview(png(8, 6)))
        picture = await stream.until(("preview", 8, 6))
        assert picture.data["preview"]["url"].startswith(f"/v1/jobs/{job_id}/preview?version=")
        for line in (lambda ctx: ctx.log("line 0"), lambda ctx: ctx.log("line 1"), None):
            say.put_nowait(line)
        first, second, end = await stream.rest()
        assert [first.brief, second.brief] == [("info", "line 0"), ("info", "line 1")]
        assert first.id == picture.id, "who got only one of two lines comes back for both"
        assert end.brief == ("status", "completed", 1)


@pytest.mark.parametrize(
    ("query", "briefs"),
    [
        ("kind=status", [("status", "pending", 0), ("status", "in_progress", 1), ("status", "completed", 1)]),
        ("kind=step", [("mix", "done")]),
        ("kind=status,step&status=in_progress", [("status", "in_progress", 1), ("mix", "done")]),
        ("status=completed&task=api_paint&module=image&user_id=u1", [("status", "completed", 1)]),
    ],
)
async def test_what_fits_all_that_is_asked_is_told(
    runtime: Runtime, http: aiohttp.ClientSession, query: str, briefs: list[tuple[str, ...]]
) -> None:
    async with reading(http, f"{EVENTS}?{query}") as stream, working(runtime):
        await stream.begun()
        await submit(http)
        found = [await stream.next() for _ in briefs]
        assert [each.brief for each in found if each is not None] == briefs


@pytest.mark.parametrize("query", ["task=other", "module=video", "user_id=u2", "status=failed", "kind=log"])
async def test_what_does_not_fit_is_not_told(runtime: Runtime, http: aiohttp.ClientSession, query: str) -> None:
    async with reading(http, EVENTS) as stream, working(runtime):
        before = await stream.begun()
        await submit(http)
        end = await stream.until(("status", "completed", 1))
    async with reading(http, f"{EVENTS}?{query}", before) as picked:
        assert await picked.begun() == end.id, "the first that it hears is where the log ends"


async def test_a_kind_that_there_is_not_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.get(EVENTS, params={"kind": "logs"}) as answer:
        found = await problem(answer, 422, "invalid_request")
        assert found["errors"][0]["path"].startswith("kind")


async def test_who_is_bound_to_a_user_hears_that_user_s_jobs_only(settings: Settings) -> None:
    bound = {name: {"scopes": ("submit", "read"), "user_id": name} for name in ("a", "b")}
    async with (
        keyed(settings, **bound) as ring,
        ring.session("a") as a,
        ring.session("b") as b,
        reading(b, EVENTS) as stream,
    ):
        await stream.begun()
        await submit(a, params={"user_id": "a"})
        own = await submit(b, params={"user_id": "b"})
        told = await stream.next()
        assert told is not None
        assert told.data["id"] == own


# ---- coming back -------------------------------------------------------------------------------


async def test_who_comes_back_gets_exactly_the_rest(
    runtime: Runtime, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_PAGE", 2)
    async with reading(http, EVENTS) as stream:
        await stream.begun()
        await submit(http)
        first = await stream.next()
        assert first is not None
        async with working(runtime):
            rest = [await stream.next() for _ in range(4)]
            async with reading(http, EVENTS, first.id) as again:
                assert [await again.next() for _ in rest] == rest
                await submit(http)
                await again.until(("status", "completed", 1))


@pytest.mark.parametrize("last_id", ["1-1", "", "1-1:1:pending", "0-0"])
async def test_who_comes_back_with_what_nobody_holds_is_told_to_ask_again(
    http: aiohttp.ClientSession, last_id: str
) -> None:
    await submit(http)
    async with reading(http, EVENTS, last_id) as stream:
        told = await stream.next()
        assert told is not None
        assert (told.brief, told.data) == (("reset",), {})
        await submit(http)
        await stream.until(("status", "pending", 0))


async def test_a_quiet_stream_goes_on_saying_where_it_stands(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobrunner.api.streams.sse.BEAT_S", 0.01)
    async with reading(http, f"{EVENTS}?kind=log") as quiet, reading(http, EVENTS) as stream:
        before = await quiet.begun()
        await submit(http)
        told = await stream.until(("status", "pending", 0))
        async with asyncio.timeout(SOON_S):
            while quiet.last_id == before:
                await quiet.begun()
        assert quiet.last_id == told.id


async def test_a_stream_ends_after_a_while_and_its_client_comes_back(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobrunner.api.streams.watching.LONGEST_S", 0.01)
    async with reading(http, EVENTS) as stream:
        assert await stream.rest() == []


async def test_an_outage_of_redis_is_told_once_it_is_over(settings: Settings, redis_url: str) -> None:
    async with Proxy(Path(urlsplit(redis_url).path)).listening() as line:
        there = f"redis://127.0.0.1:{line.port}?{urlsplit(redis_url).query}"
        through = settings.model_copy(update={"redis_url": SecretStr(there)})
        async with (
            opened(through) as runtime,
            serving(runtime) as url,
            aiohttp.ClientSession(url) as http,
            reading(http, EVENTS) as stream,
        ):
            await stream.begun()
            await line.cut()
            await submit(http)
            line.mend()
            await stream.until(("reset",))
            await submit(http)
            await stream.until(("status", "pending", 0))


# ---- what it costs -----------------------------------------------------------------------------


async def test_a_reader_that_is_too_slow_is_cut_off(
    runtime: Runtime, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "PENDING", 50)
    slow = asyncio.Event()
    url = http._base_url
    assert url is not None
    with subscribe(lambda event: slow.set() if event.name == "events.slow_reader" else None):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        fat = {"id": "7", "attempt": 0, "step": {"name": "x" * 100_000}}
        async with asyncio.timeout(SOON_S):
            assert await reader.readuntil(b"id: ")
            while not slow.is_set():
                runtime.notices.changes.tell([Change("7", "step", json.dumps(fat).encode())] * 20)
                await runtime.notices.changes.drain()
            assert not (await reader.read()).endswith(b"0\r\n\r\n"), "a stream that was cut off has no last chunk"
        writer.close()


async def test_a_server_that_shuts_down_ends_its_streams(runtime: Runtime) -> None:
    async with aiohttp.ClientSession() as http:
        async with serving(runtime) as url:
            answer = await http.get(f"{url}{EVENTS}")
        async with asyncio.timeout(SOON_S):
            assert (await answer.read()).startswith(b"retry:")
