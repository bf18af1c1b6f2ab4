"""One set of jobs behind two JobRunners: one in process, one that asks a real server over real sockets."""

import asyncio
import io
import json
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from PIL import Image
from pydantic import BaseModel, ConfigDict, SecretStr

from jobrunner import JobRunner
from jobrunner.api import make_app, serving
from jobrunner.declare import TaskContext, task
from jobrunner.errors import PermanentError
from jobrunner.runtime import Runtime
from jobrunner.settings import Settings
from jobrunner.settings.tables import Http
from jobrunner.worker.loop import WorkerLoop
from tests.faults.proxy import Proxy
from tests.workers import at_work

SOON_S = 20.0
"""No promise: only how long a test waits for what should have come long before."""

ID = UUID("0198c5a4-5f4e-7cc3-8f5b-0d6f6a1f1f6e")
ACCEPTED = {"id": str(ID), "task_id": str(ID), "status": "queued"}


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    colour: str = "red"
    user_id: str = "u1"
    picture: str | None = None
    fails: bool = False


class Frame(BaseModel):
    colour: str
    artifact_id: str | None = None


@task(module="image")
async def draw_frame(ctx: TaskContext, params: Order) -> Frame:
    """Draw a frame, or copy a picture into one."""
    ctx.log(f"draws in {params.colour}")
    await ctx.step("mix", lambda: asyncio.sleep(0, params.colour))
    if params.fails:
        raise PermanentError("The brush broke.", code="brush_broken")
    if params.picture is None:
        return Frame(colour=params.colour)
    source = ctx.path(await ctx.input(params.picture, kind="image"))
    copy = await asyncio.to_thread(shutil.copyfile, source, source.with_name("copy.png"))
    return Frame(colour=params.colour, artifact_id=str((await ctx.save(copy, kind="image")).id))


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=SecretStr(database_url), redis_url=SecretStr(redis_url), data_dir=tmp_path, http=Http(port=0)
    )


@pytest.fixture
async def here(runtime: Runtime) -> AsyncIterator[JobRunner]:
    async with JobRunner(runtime.settings) as runner:
        yield runner


@pytest.fixture
async def there(runtime: Runtime) -> AsyncIterator[JobRunner]:
    async with serving(runtime) as url, JobRunner(url=url, patience_s=SOON_S) as runner:
        yield runner


@pytest.fixture(params=["here", "there"])
def runner(request: pytest.FixtureRequest) -> JobRunner:
    """Either kind; it is the one that was opened last, which `.delay` asks."""
    runner: JobRunner = request.getfixturevalue(request.param)
    return runner


@pytest.fixture
async def worker(runtime: Runtime) -> AsyncIterator[WorkerLoop]:
    async with at_work(WorkerLoop(runtime), leaves_within_s=SOON_S) as worker:
        yield worker


@pytest.fixture
async def proxy(runtime: Runtime, tmp_path: Path) -> AsyncIterator[Proxy]:
    """A line to the API that can be cut, silenced or robbed of an answer."""
    served = web.AppRunner(make_app(runtime), access_log=None, shutdown_timeout=0.1)
    await served.setup()
    try:
        place = tmp_path / "api"
        await web.UnixSite(served, place).start()
        async with Proxy(place).listening() as proxy:
            yield proxy
    finally:
        await served.cleanup()


@dataclass
class Stranger:
    """A server that says what a test wrote: `answers` one after the other, the last one for good."""

    url: str = ""
    answers: list[web.Response] = field(default_factory=list)
    asked: list[web.BaseRequest] = field(default_factory=list)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        await request.read()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)


@pytest.fixture
async def stranger() -> AsyncIterator[Stranger]:
    async with speaking() as stranger:
        yield stranger


@asynccontextmanager
async def speaking(tls: ssl.SSLContext | None = None) -> AsyncIterator[Stranger]:
    stranger = Stranger()
    served = web.ServerRunner(web.Server(stranger.handle, access_log=None), shutdown_timeout=0.1)
    await served.setup()
    try:
        await web.TCPSite(served, "127.0.0.1", 0, ssl_context=tls).start()
        stranger.url = f"http{'s' if tls else ''}://localhost:{served.addresses[0][1]}"
        yield stranger
    finally:
        await served.cleanup()


def asking(stranger: Stranger, *, api_key: str | None = None, patience_s: float = SOON_S) -> JobRunner:
    return JobRunner(url=stranger.url, api_key=api_key, patience_s=patience_s)


def said(status: int = 200, body: Any = None, **headers: str) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode(), headers=headers)


def problem(status: int, code: str, **more: Any) -> dict[str, Any]:
    return {"status": status, "code": code, "detail": f"It said {code}.", "errors": [], **more}
