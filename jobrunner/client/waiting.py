"""Waiting for jobs to end: one question to Postgres for all who wait in this process."""

import asyncio
import logging
from contextvars import Context
from uuid import UUID

from jobrunner.broker.connection import end_tasks
from jobrunner.broker.stream import ENDED, Notices
from jobrunner.errors import Unavailable
from jobrunner.events import emit
from jobrunner.job import Job
from jobrunner.store.postgres import Store

_WATCH_S = 1.0
"""Postgres is asked this often, should Redis' notice not come."""


class Waiting:
    def __init__(self, store: Store, notices: Notices) -> None:
        self._store = store
        self._notices = notices
        self._awaited: dict[UUID, set[asyncio.Future[Job]]] = {}
        self._look = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        if self._watcher is not None:
            await end_tasks(self._watcher)

    async def until_ended(self, job_id: UUID, timeout_s: float | None) -> Job:
        """The job once it has ended. Raises TimeoutError (the job goes on)."""
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch(), name="watch ended jobs", context=Context())
        future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._awaited.setdefault(job_id, set()).add(future)
        self._look.set()
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        finally:
            self._awaited[job_id].discard(future)
            if not self._awaited[job_id]:
                del self._awaited[job_id]

    async def _watch(self) -> None:
        """When Redis says that something ended, and every second in any case."""
        async with self._notices.listening(ENDED, self._heard):
            while True:
                self._look.clear()
                try:
                    ended = await self._store.ended(list(self._awaited)) if self._awaited else []
                except Unavailable as error:
                    emit("wait.interrupted", logging.WARNING, error=str(error))
                    ended = []
                for job in ended:
                    for future in self._awaited.get(job.id, ()):
                        if not future.done():
                            future.set_result(job)
                try:
                    async with asyncio.timeout(_WATCH_S if self._awaited else None):
                        await self._look.wait()
                except TimeoutError:
                    pass

    def _heard(self, ids: list[UUID]) -> None:
        if any(each in self._awaited for each in ids):
            self._look.set()
