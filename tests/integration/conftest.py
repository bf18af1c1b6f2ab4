"""A receiver on loopback, to which the sandbox delivers its webhooks over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from aiohttp import web

from tests.integration.drivers.conftest import at_loopback

WAIT_S = 20.0


@dataclass(frozen=True)
class Post:
    """A delivery as it arrived, to the byte."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        return dict(orjson.loads(self.body))


@dataclass
class Receiver:
    """Answers each delivery with the next of `answers`, and 200 from then on."""

    answers: list[int] = field(default_factory=list)
    posts: asyncio.Queue[Post] = field(default_factory=asyncio.Queue)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.posts.put_nowait(Post(dict(request.headers), await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    async def next(self) -> Post:
        async with asyncio.timeout(WAIT_S):
            return await self.posts.get()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    async with at_loopback(made.handle) as url:
        made.url = f"{url}/hook"
        yield made
