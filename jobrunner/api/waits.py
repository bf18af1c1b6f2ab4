"""`Prefer: wait=N` (RFC 7240): hold the answer until the job ends, for N seconds at most."""

import asyncio
import re
from uuid import UUID

from aiohttp import web

from jobrunner.client import Client
from jobrunner.job import Job

LONGEST_S = 60

_WAIT = re.compile(r"(?:^|[,;\s])wait(?:\s*=\s*\"?(\d{1,9})\"?)?(?=$|[,;\s])", re.IGNORECASE)


def preferred_wait_s(request: web.Request) -> int:
    """Seconds, at most LONGEST_S; 0 without the preference. A bare `wait` asks for the longest."""
    found = _WAIT.search(",".join(request.headers.getall("Prefer", ())))
    if found is None:
        return 0
    return LONGEST_S if found[1] is None else min(LONGEST_S, int(found[1]))


class Waits:
    """All requests that wait. A server that shuts down answers them at once instead of cutting them off."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._deadlines: set[asyncio.Timeout] = set()
        self._closing = False

    async def ended(self, job_id: UUID, wait_s: int) -> Job | None:
        """The job, or None if it did not end within `wait_s`. Raises NotFound, Unavailable."""
        if self._closing:
            return None
        deadline = asyncio.timeout(wait_s)
        self._deadlines.add(deadline)
        try:
            async with deadline:
                return await self._client.wait(job_id)
        except TimeoutError:
            return None
        finally:
            self._deadlines.discard(deadline)

    async def close(self, _app: web.Application) -> None:
        self._closing = True
        for deadline in self._deadlines:
            deadline.reschedule(asyncio.get_running_loop().time())
