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

import orjson
from aiohttp import hdrs, web

from jobrunner.api.feeds import Feed, Feeds
from jobrunner.api.routes import Route, seen_job
from jobrunner.api.told import Told
from jobrunner.api.whole import whole_job
from jobrunner.broker.changes import Change
from jobrunner.errors import NotFound, Unavailable
from jobrunner.events import emit
from jobrunner.job import Job
from jobrunner.runtime import Runtime

MEDIA_TYPE = "text/event-stream"
LAST_ID = "Last-Event-ID"

RETRY_MS = 2000
"""How long a client should wait before it comes back."""

BEAT_S = 15.0
"""A stream that has nothing to tell sends a comment this often: proxies cut silent connections."""

_AGAIN_S = 1.0
_BEAT = b":\n\n"


class Events:
    def __init__(self, runtime: Runtime) -> None:
        self._client = runtime.client
        self._changes = runtime.notices.changes
        self._feeds = Feeds(runtime.store, runtime.notices.changes)

    def routes(self) -> Iterable[Route]:
        yield Route(
            *("GET", "/v1/jobs/{id}/events", self.follow, "read", "Follow a job as Server-Sent Events"),
            answers={200: MEDIA_TYPE, 204: None},
            headers=(LAST_ID,),
        )

    async def close(self, _app: web.Application) -> None:
        """A server that shuts down ends its streams: their clients come back to another."""
        await self._feeds.close()

    async def follow(self, request: web.Request) -> web.StreamResponse:
        job = await seen_job(request, self._client)
        known = Told.read(request.headers.get(LAST_ID, ""))
        if known is not None and known.is_at(job) and job.status.terminal:
            return web.Response(status=204)  # nothing will follow: a browser's EventSource stops asking
        response = web.StreamResponse(headers={hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"})
        response.content_type = MEDIA_TYPE
        if request.method == hdrs.METH_HEAD:
            return response
        feed = Feed(job.id, cut=lambda: _cut(request), gone=lambda: _is_gone(request))
        with self._feeds.open(feed), suppress(ConnectionError):  # its client left, or was cut off
            told, first = await self._begin(job, known)
            await response.prepare(request)
            await response.write(b"retry: %d\n\n" % RETRY_MS)
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

    async def _tell(self, response: web.StreamResponse, feed: Feed, told: Told, first: deque[Change | Job]) -> None:
        while not feed.over:
            try:
                async with asyncio.timeout(BEAT_S):
                    item = first.popleft() if first else await feed.next()
            except TimeoutError:
                await response.write(_BEAT)
                continue
            if item is not None and (event := await self._event(feed, told, item)) is not None:
                await response.write(event)

    async def _event(self, feed: Feed, told: Told, item: Change | Job) -> bytes | None:
        """None if the reader knows it. An end is told as the row has it, in full, and is the last event."""
        name = "snapshot"
        if isinstance(item, Change):
            said = told.take(item)
            if said is None:
                return None
            if item.kind != "status" or not told.status.terminal:
                return _written(item.kind, told, said)
            name = item.kind
        elif told.knows(item):
            return None
        found = await self._row(feed)
        if found is None:
            return None
        job, whole = found
        told.stands(job)
        feed.over = feed.over or job.status.terminal
        return _written(name if job.status.terminal else "snapshot", told, whole)

    async def _row(self, feed: Feed) -> tuple[Job, dict[str, Any]] | None:
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


def _written(name: str, told: Told, data: dict[str, Any]) -> bytes:
    """JSON has no line breaks of its own, so one `data` line holds it."""
    body = orjson.dumps(data, default=str, option=orjson.OPT_UTC_Z)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (str(told).encode(), name.encode(), body)


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
