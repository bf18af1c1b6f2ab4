"""GET /v1/events: all jobs that the caller may see, as Server-Sent Events.

An event's id is its place in Redis' log. Whoever comes back with one gets what came after it; where the log no longer
holds it, and where something was lost, an event `reset` says that what the reader shows may be stale.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated

from aiohttp import hdrs, web
from pydantic import BaseModel, BeforeValidator, ConfigDict

from jobrunner.api.guard.ownership import owner
from jobrunner.api.intake import read_query
from jobrunner.api.routes import Route, caller_of
from jobrunner.api.shapes import Word, split_words, validated
from jobrunner.api.streams import sse
from jobrunner.api.streams.feeds import Feeds
from jobrunner.api.streams.news import News, Watch
from jobrunner.broker.changes import NOWHERE, Changes, Position, position_text, read_position
from jobrunner.client.watching import Watched
from jobrunner.errors import Unavailable
from jobrunner.job import Status
from jobrunner.shown import EventKind

LONGEST_S = 3600.0
"""A stream ends after that long, and its client comes back: to a server that has room."""

_STALLED_S = 30.0
"""A reader of what it missed takes each part of it in this time, or is cut off."""


class Wanted(BaseModel):
    """Which events: those that fit all that is given.

    `kind` names one or several of `status`, `progress`, `step`, `preview` and `log`; `status` one state or several
    that the job is then in.
    """

    model_config = ConfigDict(extra="forbid")

    task: Word | None = None
    module: Word | None = None
    user_id: Word | None = None
    status: Annotated[tuple[Status, ...], BeforeValidator(split_words)] = ()
    kind: Annotated[tuple[EventKind, ...], BeforeValidator(split_words)] = ()


class Watching:
    def __init__(self, changes: Changes, feeds: Feeds) -> None:
        self._changes = changes
        self._feeds = feeds

    def routes(self) -> Iterable[Route]:
        yield Route(
            *("GET", "/v1/events", self.watch, "read", "Follow all jobs as Server-Sent Events"),
            query=Wanted,
            answers={200: sse.MEDIA_TYPE},
            headers=(sse.LAST_ID,),
        )

    async def watch(self, request: web.Request) -> web.StreamResponse:
        asked = validated(Wanted, read_query(request))
        wanted = Watched(**{**asked.model_dump(), "user_id": owner(caller_of(request), asked.user_id)})
        response = sse.streaming()
        if request.method == hdrs.METH_HEAD:
            return response
        watch = Watch(wanted.holds, cut=lambda: sse.cut(request), gone=lambda: sse.is_gone(request))
        with self._feeds.watching(watch), suppress(ConnectionError):
            await response.prepare(request)
            await response.write(sse.HELLO)
            try:
                await self._catch_up(response, watch, request.headers.get(sse.LAST_ID))
            except TimeoutError:
                watch.end()
                sse.cut(request)
            await self._tell(response, watch)
        return response

    async def _catch_up(self, response: web.StreamResponse, watch: Watch, last_id: str | None) -> None:
        """Tell what the reader missed, and where it is then. Raises TimeoutError."""
        at: Position | None = await self._feeds.begun()
        if last_id is not None:
            at = await self._retell(response, watch, read_position(last_id) or NOWHERE)
        watch.begin(self._feeds.at if at is None else at)
        if at is None:
            watch.lose(self._feeds.at)
        else:
            await response.write(sse.place(position_text(at)))

    async def _retell(self, response: web.StreamResponse, watch: Watch, at: Position) -> Position | None:
        """How far the reader has heard all, which is as far as Redis was read; None if something was lost."""
        try:
            if not await self._changes.holds(at):
                return None
            while at < self._feeds.at:
                page = await self._changes.page(at)
                if not page:
                    return None
                at = page[-1].at
                async with asyncio.timeout(_STALLED_S):
                    await response.write(_text(watch.picked(News.of(page))))
        except Unavailable:
            return None
        return at

    async def _tell(self, response: web.StreamResponse, watch: Watch) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + LONGEST_S
        while not watch.over and (left_s := until - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(sse.BEAT_S, left_s)):
                    news = await watch.next()
            except TimeoutError:
                await response.write(sse.place(position_text(self._feeds.at)))
                continue
            if news is not None:
                await response.write(_text([news, *watch.rest()]))


def _text(news: Iterable[News]) -> bytes:
    return b"".join(each.text for each in news)
