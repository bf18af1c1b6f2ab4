"""The moment in which a worker is told to stop, and how it waits for other things until then."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from jobrunner.broker.connection import end_tasks

T = TypeVar("T")


class Stopping(asyncio.Event):
    """Set once; nothing that waits here waits past it."""

    async def unless(self, awaited: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Await it, or break it off when we are told to stop; either way its task has ended."""
        task, stopping = asyncio.create_task(awaited), asyncio.create_task(self.wait())
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not task.done():
            await end_tasks(task)
        return task

    async def pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.wait()
        except TimeoutError:
            pass
