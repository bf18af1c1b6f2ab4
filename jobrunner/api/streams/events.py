"""GET /v1/jobs/{id}/events: a job as Server-Sent Events, from a snapshot of its row to its end.

An event's id says where it stands in Redis' log, and what its reader knows by then: `<position>:<attempt>:<status>`.
Whoever comes back with one gets the changes after it; where Redis no longer holds it, a snapshot, then the changes.
What the log lost shows in Postgres, and is told as a snapshot too.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from aiohttp import hdrs, web

from jobrunner.api.routes import Route, seen_job
from jobrunner.api.streams import sse
from jobrunner.api.streams.feed import JobFeed
from jobrunner.api.streams.feeds import Feeds
from jobrunner.api.streams.told import Told
from jobrunner.api.whole import whole_job
from jobrunner.broker.changes import Change, Changes
from jobrunner.client import Client
from jobrunner.errors import NotFound, Unavailable
from jobrunner.events import emit
from jobrunner.job import Job

_AGAIN_S = 1.0
_BEAT = b":\n\n"


class Events:
    def __init__(self, client: Client, changes: Changes, feeds: Feeds) -> None:
        self._client = client
        self._changes = changes
        self._feeds = feeds

    def routes(self) -> Iterable[Route]:
        yield Route(
            *("GET", "/v1/jobs/{id}/events", self.follow, "read", "Follow a job as Server-Sent Events"),
            answers={200: sse.MEDIA_TYPE, 204: None},
            headers=(sse.LAST_ID,),
        )

    async def follow(self, request: web.Request) -> web.StreamResponse:
        job = await seen_job(request, self._client)
        known = Told.read(request.headers.get(sse.LAST_ID, ""))
        if known is not None and known.is_at(job) and job.status.terminal:
            return web.Response(status=204)  # nothing will follow: a browser's EventSource stops asking
        response = sse.streaming()
        if request.method == hdrs.METH_HEAD:
            return response
        feed = JobFeed(job.id, cut=lambda: sse.cut(request), gone=lambda: sse.is_gone(request))
        with self._feeds.open(feed), suppress(ConnectionError):  # its client left, or was cut off
            told, first = await self._begin(job, known)
            await response.prepare(request)
            await response.write(sse.HELLO)
            await self._tell(response, feed, told, first)
        return response

    async def _begin(self, job: Job, known: Told | None) -> tuple[Told, deque[Change | Job]]:
        """What the reader knows, and what comes before all that it will hear live."""
        at = await self._feeds.begun()
        missed = None
        if known is not None and known.attempt <= job.fence:
            with suppress(Unavailable):
                missed = await self._changes.since(job.id, known.at)
        if known is None or missed is None:
            return Told.nothing(at), deque([job])
        return known, deque([*missed, job] if job.status.terminal else missed)  # the log may have lost the end

    async def _tell(self, response: web.StreamResponse, feed: JobFeed, told: Told, first: deque[Change | Job]) -> None:
        while not feed.over:
            try:
                async with asyncio.timeout(sse.BEAT_S):
                    item = first.popleft() if first else await feed.next()
            except TimeoutError:
                await response.write(_BEAT)
                continue
            if item is not None and (event := await self._event(feed, told, item)) is not None:
                await response.write(event)

    async def _event(self, feed: JobFeed, told: Told, item: Change | Job) -> bytes | None:
        """None if the reader knows it. An end is told as the row has it, in full, and is the last event."""
        name = "snapshot"
        if isinstance(item, Change):
            said = told.take(item)
            if said is None:
                return None
            if item.kind != "status" or not told.status.terminal:
                return sse.events(item.kind, str(told), said)
            name = item.kind
        elif told.knows(item):
            return None
        found = await self._row(feed)
        if found is None:
            return None
        job, whole = found
        told.stands(job)
        feed.over = feed.over or job.status.terminal
        return sse.event(name if job.status.terminal else "snapshot", str(told), whole)

    async def _row(self, feed: JobFeed) -> tuple[Job, dict[str, Any]] | None:
        """The job as it stands now; None once there is none, or nobody to tell. Postgres' outage is sat out."""
        while not feed.over:
            try:
                job = await self._client.get(feed.job_id)
                return job, await whole_job(self._client, job)
            except NotFound:
                feed.over = True
            except Unavailable as error:
                emit("events.interrupted", logging.WARNING, job_id=str(feed.job_id), error=str(error))
                await asyncio.sleep(_AGAIN_S)
        return None
