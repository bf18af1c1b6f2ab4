"""What the open streams of this process have yet to tell: one reader of Redis and one asker of Postgres for them all.

Redis says what changed, at once and in order. Postgres is asked every few seconds whether it was all, and every second
while Redis is away. Both rest while no stream is open.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any
from uuid import UUID

from aiohttp import web

from jobrunner.api.streams.feed import Feed, JobFeed
from jobrunner.api.streams.news import News, Watch
from jobrunner.broker.changes import NOWHERE, Change, Changes, Position
from jobrunner.broker.connection import end_tasks
from jobrunner.errors import Unavailable
from jobrunner.events import emit
from jobrunner.store.postgres import Store

_CHECK_S = 5.0
_AWAY_S = 1.0
_ON_ITS_WAY_S = 1.0
"""A row that changed is not yet one whose change was lost."""


class Feeds:
    """`at` is how far Redis was read."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes
        self._open: dict[str, set[JobFeed]] = {}
        self._watches: set[Watch] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._opened = asyncio.Event()
        self._begun = asyncio.Event()
        self._look = asyncio.Event()
        self._away = False
        self._closed = False
        self._heard: set[str] = set()
        self.at: Position = NOWHERE

    async def close(self, _app: web.Application) -> None:
        """A server that shuts down ends its streams: their clients come back to another."""
        self._closed = True
        self._begun.set()
        for feed in self._all():
            feed.end()
        await end_tasks(*self._tasks)

    @contextmanager
    def open(self, feed: JobFeed) -> Iterator[None]:
        key = str(feed.job_id)
        self._open.setdefault(key, set()).add(feed)
        self._start(feed)
        try:
            yield
        finally:
            self._open[key].discard(feed)
            if not self._open[key]:
                del self._open[key]

    @contextmanager
    def watching(self, watch: Watch) -> Iterator[None]:
        self._watches.add(watch)
        self._start(watch)
        try:
            yield
        finally:
            self._watches.discard(watch)

    def _start(self, feed: Feed[Any]) -> None:
        if self._closed:
            feed.end()
        elif not self._tasks:
            works = (self._read(), self._check())
            self._tasks = [asyncio.create_task(work, name="feeds", context=Context()) for work in works]
        self._opened.set()

    def _all(self) -> list[Feed[Any]]:
        return [*(feed for feeds in self._open.values() for feed in feeds), *self._watches]

    async def begun(self) -> Position:
        """How far Redis is read for those who are open now; NOWHERE where it cannot be."""
        await self._begun.wait()
        return self.at

    async def _someone(self) -> None:
        if not self._all():
            self._opened.clear()
            await self._opened.wait()

    # ---- Redis ---------------------------------------------------------------------------------

    async def _read(self) -> None:
        fresh = False
        while True:
            if not self._all():
                fresh = False
                self._begun.clear()
                await self._someone()
            try:
                if not fresh:
                    newest = await self._changes.last()
                    # One that lost its memory may count from before what was read.
                    self.at = min(self.at, newest) if self._begun.is_set() else newest
                    if self._away:
                        self._lose()
                    fresh, self._away = True, False
                    self._begun.set()
                self._pass_on(await self._changes.next(self.at))
            except Unavailable as error:
                emit("events.interrupted", logging.WARNING, error=str(error))
                fresh, self._away = False, True
                self._begun.set()
                self._look.set()
                await asyncio.sleep(_AWAY_S)

    def _pass_on(self, changes: list[Change]) -> None:
        for change in changes:
            self.at = change.at
            for feed in self._open.get(change.job_id, ()):
                self._heard.add(change.job_id)
                feed.offer(change)
        if self._watches:
            news = News.of(changes)
            for watch in self._watches:
                watch.hear(news)

    def _lose(self) -> None:
        """Whatever happened while Redis was away was told to nobody."""
        for watch in self._watches:
            watch.lose(self.at)

    # ---- Postgres ------------------------------------------------------------------------------

    async def _check(self) -> None:
        while True:
            await self._someone()
            try:
                async with asyncio.timeout(_AWAY_S if self._away else _CHECK_S):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()
            self._forget_gone()
            try:
                await self._compare()
            except Unavailable as error:
                emit("events.interrupted", logging.WARNING, error=str(error))

    def _forget_gone(self) -> None:
        for feed in self._all():
            if feed.gone():
                feed.end()

    async def _compare(self) -> None:
        """Rows to those who have nothing else to tell, and heard of nothing since Postgres was asked.

        So a row that says something else than they told is right, whatever it was that they heard.
        """
        self._heard.clear()
        watched = [UUID(key) for key in self._open]
        rows = {row.id: row for row in await self._store.standing(watched)} if watched else {}
        if not self._away:
            await asyncio.sleep(_ON_ITS_WAY_S)
        for job_id in watched:
            key = str(job_id)
            for feed in () if key in self._heard else self._open.get(key, ()):
                if job_id not in rows:
                    feed.end()
                elif feed.idle:
                    feed.offer(rows[job_id])
