"""A task that does what a test says, when it says it."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
from pydantic import BaseModel

from jobrunner.declare import TaskContext, task
from tests.integration.api.conftest import submit

Line = str | tuple[float, str] | Callable[[TaskContext], None] | None
"""A step by its name, progress, whatever else can be told through the context; None: the end."""

_played: dict[str, asyncio.Queue[Line]] = {}


class Script(BaseModel):
    name: str
    user_id: str = "u1"


class Played(BaseModel):
    url: str = "/v1/artifacts/of-old"


@task(module="image", retries=0)
async def api_play(ctx: TaskContext, params: Script) -> Played:
    """Do what the test says, when it says it."""
    while (said := await _played[params.name].get()) is not None:
        match said:
            case str():
                await ctx.step(said, lambda: asyncio.sleep(0))
            case tuple():
                ctx.progress(*said)
            case _:
                said(ctx)
    return Played()


async def submit_play(http: aiohttp.ClientSession, name: str, **params: Any) -> tuple[str, asyncio.Queue[Line]]:
    _played[name] = asyncio.Queue()
    return await submit(http, task="api_play", params={"name": name, **params}), _played[name]
