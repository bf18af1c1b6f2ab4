"""A worker of this process, at work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobrunner.worker.loop import WorkerLoop


@asynccontextmanager
async def at_work(worker: WorkerLoop, *, leaves_within_s: float) -> AsyncIterator[WorkerLoop]:
    """It claims, or has ended already, when the block begins; it drains when the block ends."""
    running = asyncio.create_task(worker.run())
    ready = asyncio.create_task(worker.ready.wait())
    await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield worker
    finally:
        ready.cancel()
        worker.stop()
        async with asyncio.timeout(leaves_within_s):
            await running
