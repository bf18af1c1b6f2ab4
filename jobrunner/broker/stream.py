"""Live notices over Redis pub/sub: which jobs ended, which should stop, whose provider called.

Hints: whoever waits also asks Postgres, or the provider.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import orjson

from jobrunner.broker.changes import Changes
from jobrunner.broker.connection import end_tasks, make_redis, mapped_errors
from jobrunner.broker.previews import Previews
from jobrunner.errors import Unavailable
from jobrunner.events import emit

ENDED = "jobrunner:ended"
CANCEL = "jobrunner:cancel"
HOOKED = "jobrunner:hooked"

_RECONNECT_S = 1.0
_IDLE_S = 30.0


class Notices:
    """On the same connections: `changes`, the log of what changed of which job, and the jobs' `previews`."""

    def __init__(self, url: str) -> None:
        self._redis = make_redis(url, connections=2)
        self._listening = make_redis(url, connections=8, answer_s=None)
        self.changes = Changes(self._redis, self._listening)
        self.previews = Previews(self._redis)

    async def aclose(self) -> None:
        await self.changes.aclose()
        await self._redis.aclose(close_connection_pool=True)
        await self._listening.aclose(close_connection_pool=True)

    async def send(self, channel: str, ids: Sequence[UUID]) -> None:
        """Raises Unavailable."""
        if not ids:
            return
        with mapped_errors():
            await self._redis.publish(channel, orjson.dumps([str(each) for each in ids]))

    async def first(self, said: str, lasting_s: float) -> bool:
        """Whether nobody asked this of `said` within `lasting_s` seconds. Raises Unavailable."""
        with mapped_errors():
            return bool(await self._redis.set(f"jobrunner:said:{said}", 1, px=round(lasting_s * 1000), nx=True))

    @asynccontextmanager
    async def listening(self, channel: str, heard: Callable[[list[UUID]], None]) -> AsyncIterator[None]:
        """Call `heard(ids)` for each notice while the block runs; an outage of Redis is sat out."""
        task = asyncio.create_task(self._listen(channel, heard), name=f"listen {channel}")
        try:
            yield
        finally:
            await end_tasks(task)

    async def _listen(self, channel: str, heard: Callable[[list[UUID]], None]) -> None:
        while True:
            try:
                with mapped_errors():
                    async with self._listening.pubsub(ignore_subscribe_messages=True) as subscription:
                        await subscription.subscribe(channel)
                        while True:
                            message = await subscription.get_message(timeout=_IDLE_S)
                            if message is not None:
                                heard(_ids(message["data"]))
            except Unavailable as error:
                emit("notices.interrupted", logging.DEBUG, channel=channel, error=str(error))
                await asyncio.sleep(_RECONNECT_S)


def _ids(raw: bytes) -> list[UUID]:
    """What stands in Redis may have been written by anyone."""
    try:
        return [UUID(each) for each in orjson.loads(raw)]
    except (ValueError, TypeError, AttributeError):
        emit("notices.garbage", logging.WARNING, size_bytes=len(raw))
        return []
