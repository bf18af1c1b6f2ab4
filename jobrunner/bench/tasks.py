"""What a bench's jobs do: nothing, one slow call, or a short wait. Each leaves the moments when it began and ended."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession
from pydantic import BaseModel

from jobrunner.declare import TaskContext, task
from jobrunner.net import Net
from jobrunner.runtime import SANDBOX_KEY, SANDBOX_PREFIXES

moments: list[tuple[int, float, float]] = []
"""(number, began, ended) of each job that this process ran, by CLOCK_MONOTONIC, which all processes here share."""

PAUSE_S = 0.02
"""How long `bench_pause` takes."""

_CALL_S = 60.0
_api: list[ClientSession] = []
"""The session of `calling`, which is one for all jobs, as a driver's is."""


class Numbered(BaseModel):
    number: int


class Nothing(BaseModel):
    pass


@task(module="bench")
async def bench_nothing(_ctx: TaskContext, params: Numbered) -> Nothing:
    """End at once."""
    began = time.monotonic()
    moments.append((params.number, began, began))
    return Nothing()


@task(module="bench")
async def bench_call(_ctx: TaskContext, params: Numbered) -> Nothing:
    """Ask the sandbox once, and wait for its answer."""
    began = time.monotonic()
    async with _api[0].get("models") as answer:
        await answer.read()
    moments.append((params.number, began, time.monotonic()))
    return Nothing()


@task(module="bench")
async def bench_pause(_ctx: TaskContext, params: Numbered) -> Nothing:
    """Wait for a moment, of nobody."""
    began = time.monotonic()
    await asyncio.sleep(PAUSE_S)
    moments.append((params.number, began, time.monotonic()))
    return Nothing()


@asynccontextmanager
async def calling(net: Net, sandbox_url: str | None, connections: int) -> AsyncIterator[None]:
    """Where `bench_call` calls while the block runs; None where no job calls."""
    if sandbox_url is None:
        yield
        return
    session = net.provider_session(
        sandbox_url + SANDBOX_PREFIXES["openai"],
        headers={"Authorization": f"Bearer {SANDBOX_KEY}"},
        max_connections=connections,
        timeout_s=_CALL_S,
    )
    async with session:
        _api.append(session)
        try:
            yield
        finally:
            _api.clear()
