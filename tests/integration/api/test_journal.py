"""What a job's task said and showed, asked for over HTTP."""

from collections.abc import AsyncIterator, Callable
from operator import methodcaller
from uuid import UUID, uuid4

import aiohttp
import pytest
from arq.connections import ArqRedis

from jobrunner.broker.connection import make_redis
from jobrunner.declare import TaskContext
from jobrunner.runtime import Runtime
from jobrunner.worker.previews import Previews
from tests.hostile.pictures import png
from tests.integration.api.conftest import problem, submit, working
from tests.integration.api.playing import submit_play
from tests.integration.api.streams import following


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    client = make_redis(redis_url, connections=2)
    yield client
    await client.aclose(close_connection_pool=True)


async def played(runtime: Runtime, http: aiohttp.ClientSession, *lines: Callable[[TaskContext], None]) -> str:
    """A job that did this, and has ended."""
    job_id, say = await submit_play(http, str(uuid4()))
    for line in (*lines, None):
        say.put_nowait(line)
    async with working(runtime):
        await runtime.client.wait(UUID(job_id))
    return job_id


async def test_a_log_is_read_page_by_page_and_on_from_its_end(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    job_id = await played(runtime, http, *(lambda ctx, n=n: ctx.log(f"line {n}", n=n) for n in range(5)))
    read, asked = [], {"limit": "2"}
    while True:
        async with http.get(f"/v1/jobs/{job_id}/logs", params=asked) as answer:
            assert answer.status == 200
            page = await answer.json()
        read += page["data"]
        asked["cursor"] = page["next_cursor"]
        if not page["has_more"]:
            break
    assert [(line["message"], line["fields"], line["attempt"]) for line in read] == [
        (f"line {n}", {"n": n}, 1) for n in range(5)
    ]
    async with http.get(f"/v1/jobs/{job_id}/logs", params=asked) as answer:
        assert await answer.json() == {"data": [], "next_cursor": asked["cursor"], "has_more": False}


async def test_a_job_that_said_nothing_has_an_empty_log(http: aiohttp.ClientSession) -> None:
    job_id = await submit(http)
    async with http.get(f"/v1/jobs/{job_id}/logs") as answer:
        assert await answer.json() == {"data": [], "next_cursor": None, "has_more": False}


@pytest.mark.parametrize("cursor", ["x", "1", "1.1.1", "-1.1", f"{10**18}.1", "1.\u0661"])
async def test_a_cursor_that_is_none_is_refused(http: aiohttp.ClientSession, cursor: str) -> None:
    job_id = await submit(http)
    async with http.get(f"/v1/jobs/{job_id}/logs", params={"cursor": cursor}) as answer:
        found = await problem(answer, 422, "invalid_request")
        assert found["errors"][0]["path"] == "cursor"


async def test_a_preview_is_served_while_the_task_works(
    runtime: Runtime, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Previews, "every_s", 0.01)
    job_id, say = await submit_play(http, "preview")
    async with following(http, job_id) as stream, working(runtime):
        for width in (8, 9):
            say.put_nowait(methodcaller("preview", png(width, 6)))
            told = await stream.until(("preview", width, 6))
            async with http.get(told.data["preview"]["url"]) as answer:
                assert (answer.status, answer.content_type) == (200, "image/png")
                assert answer.headers["Cache-Control"] == "no-store"
                assert await answer.read() == png(width, 6)
        say.put_nowait(None)
        await stream.until(("status", "completed", 1))


@pytest.mark.parametrize("found", [None, b"", b"<svg onload=alert(1)>", b"GIF89a" + bytes(20)])
async def test_what_is_no_preview_is_served_to_nobody(
    http: aiohttp.ClientSession, redis: ArqRedis, found: bytes | None
) -> None:
    job_id = await submit(http)
    if found is not None:
        await redis.set(f"jobrunner:preview:{job_id}", found)
    async with http.get(f"/v1/jobs/{job_id}/preview") as answer:
        await problem(answer, 404, "preview_not_found")
