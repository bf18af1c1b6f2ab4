"""A worker in this process on real servers, tasks that play what a test wrote, and a Redis that can be cut off."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from arq.connections import ArqRedis
from pydantic import BaseModel, SecretStr

from jobrunner.broker.connection import make_redis
from jobrunner.declare import TaskContext, task
from jobrunner.events import Event, subscribe
from jobrunner.job import Backoff, Job
from jobrunner.runtime import Runtime
from jobrunner.sandbox.app import Sandbox, running
from jobrunner.settings import Settings
from jobrunner.settings.tables import Worker
from jobrunner.worker import wards
from jobrunner.worker.loop import WorkerLoop
from jobrunner.worker.wards import Ward, Wards
from tests.faults.proxy import Proxy
from tests.workers import at_work

SOON_S = 15.0
"""No promise: only how long a test waits for what should have come long before."""

SPEED = 20.0
"""The sandbox's: `[slow]` work takes 1.5 s then."""

Act = Callable[[TaskContext], Awaitable[Any]]
_acts: dict[str, Act] = {}
_numbers = count()


class Play(BaseModel):
    act: str
    user_id: str = "u1"


class Played(BaseModel):
    value: Any = None


@task(module="image", retries=2, backoff=Backoff(first_s=0.01, cap_s=0.02))
async def play(ctx: TaskContext, params: Play) -> Played:
    return Played(value=await _acts[params.act](ctx))


@task(module="image", soft_timeout=timedelta(seconds=0.1), timeout=timedelta(seconds=0.3))
async def play_hastily(ctx: TaskContext, params: Play) -> Played:
    return Played(value=await _acts[params.act](ctx))


def act(function: Act) -> str:
    """The word under which a task plays `function`."""
    name = f"{function.__name__}-{next(_numbers)}"
    _acts[name] = function
    return name


@pytest.fixture(autouse=True)
def _wards_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of their own would not know what a test plays."""

    async def run(self: Wards, ward: Ward) -> None:
        await WorkerLoop(self._runtime, ward=ward).run()

    monkeypatch.setattr(Wards, "_watch", run)
    monkeypatch.setattr(wards, "IDLE_S", 0.05)
    monkeypatch.setattr(wards, "BUSY_S", 0.05)


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        data_dir=tmp_path,
        worker=Worker(lease_s=1, drain_s=0.3, max_jobs=20),
    )


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    client = make_redis(redis_url, connections=2)
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
def sold(tmp_path: Path) -> Path:
    """Where the sandbox keeps what it sold."""
    return tmp_path / "sandbox"


@pytest.fixture
async def sandbox(sold: Path) -> AsyncIterator[Sandbox]:
    async with running(sold, speed=SPEED) as sandbox:
        yield sandbox


@asynccontextmanager
async def working(runtime: Runtime) -> AsyncIterator[WorkerLoop]:
    async with at_work(WorkerLoop(runtime), leaves_within_s=SOON_S) as worker:
        yield worker


@pytest.fixture
async def worker(runtime: Runtime) -> AsyncIterator[WorkerLoop]:
    async with working(runtime) as worker:
        yield worker


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """The first answer of `condition` that is true."""
    async with asyncio.timeout(SOON_S):
        while not (answer := await condition()):  # noqa: ASYNC110  # what is awaited happens in a server
            await asyncio.sleep(0.01)
        return answer


async def ended(runtime: Runtime, id: UUID) -> Job:
    return await runtime.client.wait(id, SOON_S)


class Heard:
    """Every event of a test, to be waited for."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, name: str) -> Event:
        async with asyncio.timeout(SOON_S):
            while not (found := [event for event in self.events if event.name == name]):
                self._news.clear()
                await self._news.wait()
            return found[0]


@pytest.fixture
async def heard() -> AsyncIterator[Heard]:
    heard = Heard()
    with subscribe(heard):
        yield heard


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[Proxy]:
    """The only way to Redis for who takes it, so that a test can cut it."""
    async with Proxy(Path(urlsplit(redis_url).path)).listening() as line:
        yield line
