"""A job's events: live, resumed, and true whatever becomes of Redis; and what a thousand readers must not cost."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

from jobrunner.api import serving
from jobrunner.api.streams import feed, feeds
from jobrunner.broker.changes import KEY, Change
from jobrunner.broker.connection import make_redis
from jobrunner.events import subscribe
from jobrunner.runtime import Runtime, opened
from jobrunner.settings import Settings
from jobrunner.worker.progress import Progress
from tests.faults.proxy import Proxy
from tests.integration.api.conftest import problem, working
from tests.integration.api.playing import submit_play
from tests.integration.api.streams import SOON_S, Told, following


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress, "every_s", 0.01)
    monkeypatch.setattr(feeds, "_AWAY_S", 0.05)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    client = make_redis(redis_url, connections=2)
    yield client
    await client.aclose(close_connection_pool=True)


async def played(runtime: Runtime, http: aiohttp.ClientSession, name: str) -> tuple[str, list[Told]]:
    """A job from its submission to its end, as somebody saw it who followed it all the time."""
    job_id, say = await submit_play(http, name)
    async with following(http, job_id) as stream:
        told = [await stream.next()]
        async with working(runtime):
            told.append(await stream.next())
            for line, brief in (((0.25, "sketching"), (0.25, "sketching")), ("ink", ("ink", "done"))):
                say.put_nowait(line)
                told.append(await stream.until(brief))
            say.put_nowait(None)
            told += await stream.rest()
    return job_id, [each for each in told if each is not None]


async def test_every_change_is_told_as_it_happens(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    job_id, told = await played(runtime, http, "live")
    assert [each.brief for each in told] == [
        ("snapshot", "pending", 0),
        ("status", "in_progress", 1),
        (0.25, "sketching"),
        ("ink", "done"),
        ("status", "completed", 1),
    ]
    assert {each.data["id"] for each in told} == {job_id}
    async with http.get(f"/v1/jobs/{job_id}") as answer:
        assert told[-1].data == await answer.json()


async def test_a_client_that_comes_back_gets_exactly_the_rest(
    runtime: Runtime, http: aiohttp.ClientSession, redis: ArqRedis
) -> None:
    await redis.xadd(KEY, {"job": "another's"})
    job_id, told = await played(runtime, http, "resumed")
    for position, last in enumerate(told[:-1]):
        async with following(http, job_id, last.id) as stream:
            assert await stream.rest() == told[position + 1 :]
    async with http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": told[-1].id}) as answer:
        assert (answer.status, await answer.read()) == (204, b"")


@pytest.mark.parametrize(
    "last_id", ["1-1:1:in_progress", "", "\u00e9", "1-1", "1-1:x:pending", f"{2**64}-0:1:pending", "0-0:0:asleep"]
)
async def test_an_id_that_nobody_holds_gets_a_snapshot_then_the_rest(
    runtime: Runtime, http: aiohttp.ClientSession, last_id: str
) -> None:
    job_id, say = await submit_play(http, "unknown")
    async with following(http, job_id, last_id) as stream:
        assert await stream.until(("snapshot", "pending", 0))
        say.put_nowait(None)
        async with working(runtime):
            assert [each.brief for each in await stream.rest()] == [
                ("status", "in_progress", 1),
                ("status", "completed", 1),
            ]


async def test_a_job_that_has_ended_is_a_snapshot_and_the_end(http: aiohttp.ClientSession) -> None:
    job_id, _ = await submit_play(http, "over")
    async with http.post(f"/v1/jobs/{job_id}/cancel") as answer:
        assert answer.status == 202
    async with following(http, job_id) as stream:
        assert [each.brief for each in await stream.rest()] == [("snapshot", "cancelled", 0)]
    async with http.head(f"/v1/jobs/{job_id}/events") as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_a_row_that_is_deleted_ends_its_stream(
    runtime: Runtime, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_CHECK_S", 0.01)
    monkeypatch.setattr(feeds, "_ON_ITS_WAY_S", 0.01)
    job_id, _ = await submit_play(http, "deleted")
    async with following(http, job_id) as stream:
        await stream.next()
        await runtime.store._db.pool.execute("DELETE FROM jobrunner.jobs WHERE id = $1", job_id)
        assert await stream.rest() == []


async def test_a_cancelled_job_ends_its_stream(http: aiohttp.ClientSession) -> None:
    job_id, _ = await submit_play(http, "cancelled")
    async with following(http, job_id) as stream:
        await stream.next()
        async with http.post(f"/v1/jobs/{job_id}/cancel") as answer:
            assert answer.status == 202
        [end] = await stream.rest()
    assert (end.data["status"], end.data["error"]["code"]) == ("cancelled", "cancelled")


async def test_a_job_of_nobody_is_a_problem(http: aiohttp.ClientSession) -> None:
    async with http.get(f"/v1/jobs/{UUID(int=7)}/events") as answer:
        await problem(answer, 404, "not_found")


# ---- what becomes of Redis ---------------------------------------------------------------------


async def test_a_flush_loses_nothing_that_matters(
    runtime: Runtime, http: aiohttp.ClientSession, redis: ArqRedis
) -> None:
    job_id, say = await submit_play(http, "flushed")
    async with following(http, job_id) as stream, working(runtime):
        before = await stream.until(("status", "in_progress", 1))
        await redis.flushdb()
        say.put_nowait((0.5, "after the flood"))
        await stream.until((0.5, "after the flood"))
        async with following(http, job_id, before.id) as resumed:
            snapshot = await resumed.next()
            assert snapshot is not None
            assert (snapshot.brief, snapshot.data["progress"]) == (("snapshot", "in_progress", 1), 0.5)
            say.put_nowait(None)
            for each in (stream, resumed):
                assert [told.brief for told in await each.rest()] == [("status", "completed", 1)]


async def test_while_redis_is_away_postgres_tells(settings: Settings, redis_url: str, redis: ArqRedis) -> None:
    async with Proxy(Path(urlsplit(redis_url).path)).listening() as line:
        there = f"redis://127.0.0.1:{line.port}?{urlsplit(redis_url).query}"
        through = settings.model_copy(update={"redis_url": SecretStr(there)})
        async with opened(through) as runtime, serving(runtime) as url, aiohttp.ClientSession(url) as http:
            job_id, say = await submit_play(http, "cut")
            async with following(http, job_id) as stream, working(runtime):
                await stream.until(("status", "in_progress", 1))
                await line.cut()
                say.put_nowait((0.5, "alone"))
                snapshot = await stream.next()
                assert snapshot is not None
                assert (snapshot.brief, snapshot.data["progress"]) == (("snapshot", "in_progress", 1), 0.5)
                line.mend()
                await again(redis)
                say.put_nowait((0.75, "together"))
                await stream.until((0.75, "together"))
                await line.cut()
                say.put_nowait(None)
                assert [each.brief for each in await stream.rest()] == [("snapshot", "completed", 1)]


async def test_what_others_write_into_redis_ends_nothing(
    runtime: Runtime, http: aiohttp.ClientSession, redis: ArqRedis
) -> None:
    job_id, say = await submit_play(http, "forged")
    async with following(http, job_id) as stream, working(runtime):
        await stream.until(("status", "in_progress", 1))
        forged = {"id": job_id, "attempt": 1, "status": "completed", "result_url": "https://evil.example"}
        for data in ("\xff", "[]", '{"id": 1}', json.dumps(forged)):
            await redis.xadd(KEY, {"job": job_id, "kind": "status", "data": data})
        assert (await stream.until(("snapshot", "in_progress", 1))).data["result_url"] is None
        say.put_nowait(None)
        assert [each.brief for each in await stream.rest()] == [("status", "completed", 1)]


# ---- what it costs -----------------------------------------------------------------------------


async def readers(redis: ArqRedis) -> int:
    return sum(each["cmd"] == "xread" for each in await redis.client_list())


async def again(redis: ArqRedis) -> None:
    """Until somebody reads the changes."""
    async with asyncio.timeout(SOON_S):
        while not await readers(redis):  # noqa: ASYNC110  # it happens in a server
            await asyncio.sleep(0.01)


async def test_two_hundred_streams_are_one_reader(
    runtime: Runtime, redis: ArqRedis, http: aiohttp.ClientSession
) -> None:
    job_id, say = await submit_play(http, "crowd")
    async with AsyncExitStack() as stack:
        crowd = await stack.enter_async_context(
            aiohttp.ClientSession(http._base_url, connector=aiohttp.TCPConnector(limit=0))
        )
        streams = [await stack.enter_async_context(following(crowd, job_id)) for _ in range(200)]
        await again(redis)
        assert await readers(redis) == 1
        say.put_nowait(None)
        async with working(runtime):
            ends = [[each.brief for each in await stream.rest()][-1] for stream in streams]
    assert set(ends) == {("status", "completed", 1)}


async def test_a_reader_that_is_too_slow_is_cut_off(
    runtime: Runtime, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PENDING", 16)
    job_id, _ = await submit_play(http, "slow")
    slow = asyncio.Event()
    with subscribe(lambda event: slow.set() if event.name == "events.slow_reader" else None):
        reader, writer = await connected(http, job_id)
        fat = {"id": job_id, "attempt": 0, "step": {"name": "x" * 100_000}}
        async with asyncio.timeout(SOON_S):
            while not slow.is_set():
                runtime.notices.changes.tell([Change(job_id, "step", json.dumps(fat).encode())] * 20)
                await runtime.notices.changes.drain()
            assert not (await reader.read()).endswith(b"0\r\n\r\n"), "a stream that was cut off has no last chunk"
        writer.close()


async def connected(http: aiohttp.ClientSession, job_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A reader that has seen its stream begin."""
    url = http._base_url
    assert url is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(SOON_S):
        assert await reader.readexactly(12) == b"HTTP/1.1 200"
    return reader, writer


async def test_a_client_that_leaves_is_forgotten(http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_CHECK_S", 0.01)
    job_id, _ = await submit_play(http, "left")
    answered = asyncio.Event()
    with subscribe(lambda event: answered.set() if event.fields.get("path", "").endswith("/events") else None):
        _, writer = await connected(http, job_id)
        writer.transport.abort()
        async with asyncio.timeout(SOON_S):
            await answered.wait()


async def test_a_server_that_shuts_down_ends_its_streams(runtime: Runtime) -> None:
    async with AsyncExitStack() as outer:
        async with serving(runtime) as url:
            http = await outer.enter_async_context(aiohttp.ClientSession(url))
            job_id, _ = await submit_play(http, "closing")
            stream = await outer.enter_async_context(following(http, job_id))
            await stream.next()
            ended = asyncio.create_task(stream.rest())
        assert await ended == []


async def test_a_quiet_stream_beats(http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobrunner.api.streams.sse.BEAT_S", 0.01)
    job_id, _ = await submit_play(http, "quiet")
    async with http.get(f"/v1/jobs/{job_id}/events") as answer, asyncio.timeout(SOON_S):
        assert await answer.content.readline() == b"retry: 2000\n"
        while await answer.content.readline() != b":\n":
            pass
