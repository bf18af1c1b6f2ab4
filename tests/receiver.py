"""A webhook's receiver on loopback, for whatever tells it something."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from pydantic import SecretStr

from jobrunner.settings.tables import Webhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SIGNED = Webhooks(secret=SecretStr(SECRET))
SOON_S = 20.0


@dataclass(frozen=True)
class Message:
    headers: Mapping[str, str]
    raw: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def body(self) -> dict[str, Any]:
        parsed: dict[str, Any] = orjson.loads(self.raw)
        return parsed


@dataclass
class Receiver:
    """`answers` are given one after the other, the last one for good: a status, headers with it, or what to await."""

    port: int = 0
    answers: list[Any] = field(default_factory=lambda: [204])
    had: list[Message] = field(default_factory=list)
    _taken: int = 0
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def host(self) -> str:
        """As `net.allow` names it."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/told"

    async def handle(self, request: web.Request) -> web.Response:
        message = Message(request.headers.copy(), await request.read())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        async with self._news:
            self.had.append(message)
            self._news.notify_all()
        return await _answered(answer)

    async def next(self) -> Message:
        """The first that nobody asked for yet, once it came."""
        self._taken += 1
        return (await self.has(self._taken))[self._taken - 1]

    async def has(self, number: int) -> list[Message]:
        """All that came, once there are so many."""
        async with asyncio.timeout(SOON_S), self._news:
            await self._news.wait_for(lambda: len(self.had) >= number)
        return self.had


async def _answered(answer: int | tuple[int, dict[str, str]] | Callable[[], Awaitable[Any]]) -> web.Response:
    if callable(answer):
        return await _answered(await answer())
    status, headers = answer if isinstance(answer, tuple) else (answer, {})
    return web.Response(status=status, headers=headers)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.port = runner.addresses[0][1]
        yield receiver
    finally:
        await runner.cleanup()
