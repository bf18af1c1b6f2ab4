"""The real server on real Postgres and Redis, spoken to over real sockets, and a task for it to take."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from jobrunner.api import serving
from jobrunner.declare import TaskContext, task
from jobrunner.errors import PermanentError
from jobrunner.runtime import Runtime
from jobrunner.settings import Settings
from jobrunner.settings.tables import Http
from jobrunner.worker.loop import WorkerLoop


class Stroke(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user_id: str = "u1"
    colour: str = "red"
    width: int = 1
    fails: bool = False


class Painted(BaseModel):
    colour: str


@task(module="image")
async def api_paint(ctx: TaskContext, params: Stroke) -> Painted:
    """Paint a stroke."""
    await ctx.step("mix", lambda: asyncio.sleep(0, "mixed"))
    ctx.log("mixed", colour=params.colour)
    if params.fails:
        raise PermanentError("The brush broke.", code="brush_broken")
    return Painted(colour=params.colour)


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        data_dir=tmp_path,
        http=Http(port=0, max_body_bytes=20_000, max_upload_bytes=100_000),
    )


@pytest.fixture
async def http(runtime: Runtime) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(runtime) as url, aiohttp.ClientSession(url) as session:
        yield session


@asynccontextmanager
async def working(runtime: Runtime) -> AsyncIterator[None]:
    worker = WorkerLoop(runtime)
    running = asyncio.create_task(worker.run())
    ready = asyncio.create_task(worker.ready.wait())
    await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield
    finally:
        worker.stop()
        await running


def submission(**changes: Any) -> dict[str, Any]:
    return {"task": "api_paint", "params": {"colour": "blue"}, **changes}


async def submit(http: aiohttp.ClientSession, **changes: Any) -> str:
    async with http.post("/v1/jobs", json=submission(**changes)) as answer:
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["id"])


async def problem(answer: aiohttp.ClientResponse, status: int, code: str) -> dict[str, Any]:
    text = await answer.text()
    assert answer.status == status, text
    assert answer.content_type == "application/problem+json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    document: dict[str, Any] = json.loads(text)
    assert set(document) == {"type", "title", "status", "detail", "code", "retryable", "errors"}
    assert (document["status"], document["code"]) == (status, code), text
    return document


async def raw(http: aiohttp.ClientSession, request: bytes) -> int:
    """The status that a request gets which no decent client sends; Host is put in."""
    url = http._base_url
    assert url is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    line, _, rest = request.partition(b"\r\n")
    writer.write(b"%b\r\nHost: 127.0.0.1\r\n%b" % (line, rest))
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status
