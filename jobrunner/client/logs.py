"""A job's log, straight from Postgres."""

from collections.abc import AsyncIterator
from uuid import UUID

from jobrunner.client import Client
from jobrunner.client.showing import show_line
from jobrunner.shown import LogLine
from jobrunner.store.logs import Place
from jobrunner.verbs.following import LogPage, read_on

_PAGE = 200


async def logged(client: Client, job_id: UUID, *, follow: bool) -> AsyncIterator[LogLine]:
    """What the job's task logged; to `follow` it goes on until the job has ended. Raises NotFound, Unavailable."""

    async def page(after: Place | None) -> LogPage[Place]:
        lines = await client.log_page(job_id, after or (0, 0), _PAGE)
        return LogPage([*map(show_line, lines)], lines[-1].place if lines else after, len(lines) == _PAGE)

    async def ended() -> bool:
        return (await client.get(job_id)).status.terminal

    await client.get(job_id)
    async for line in read_on(page, ended, follow=follow):
        yield line
