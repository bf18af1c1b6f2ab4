"""GET /v1/overview: how things stand, and what is wrong."""

import asyncio
import math
from collections.abc import Coroutine, Iterable
from contextvars import Context
from dataclasses import asdict
from time import monotonic
from typing import Any

from aiohttp import web

from jobrunner.api.answers import Overview as Answer
from jobrunner.api.ops import Ops
from jobrunner.api.routes import Route, caller_of
from jobrunner.api.shapes import answer
from jobrunner.client.overview import provider_json, rows_of, task_json, wait_s, worker_json
from jobrunner.client.problems import problems
from jobrunner.runtime import Runtime

_FRESH_S = 1.0
_SHARE = 20
"""However many watch, making answers takes no more than one part in so many of the time."""

Shown = dict[str, Any]


class Overview:
    """A caller that is bound to a user gets the counts of its own jobs, and nothing else."""

    def __init__(self, runtime: Runtime, ops: Ops) -> None:
        self._store = runtime.store
        self._ops = ops
        self._queue = runtime.settings.worker.queue
        self._modules = {name: spec.module for name, spec in runtime.client.tasks.items()}
        entries = (entry for route in runtime.settings.routes.values() for entry in route)
        self._providers = {entry.partition(":")[0] for entry in entries}
        self._made: dict[str | None, _Made] = {}

    def routes(self) -> Iterable[Route]:
        summary = "How things stand: tasks, providers, workers, servers, and what is wrong"
        yield Route("GET", "/v1/overview", self.show, "read", summary, answers={200: Answer})

    async def show(self, request: web.Request) -> web.Response:
        user_id = caller_of(request).user_id
        self._made = {whose: made for whose, made in self._made.items() if made.fresh}
        if user_id not in self._made:
            self._made[user_id] = _Made(self._of_all() if user_id is None else self._of_user(user_id))
        return answer(await asyncio.shield(self._made[user_id].task))

    async def _of_all(self) -> Shown:
        checks, standing = await asyncio.gather(self._ops.checks(), self._store.overview.of_all())
        servers = {name: asdict(check) for name, check in checks.items()}
        tasks, calls = rows_of(standing, "task", self._modules), rows_of(standing, "provider", self._providers)
        wait, providers = wait_s(standing, self._queue, tasks), [provider_json(row, standing) for row in calls]
        found = problems(standing, queue=self._queue, tasks=tasks, providers=providers, calls=calls, servers=servers)
        return {
            "at": standing.at,
            "tasks": [task_json(row, self._modules, standing.at, wait) for row in tasks],
            "providers": providers,
            "workers": [worker_json(worker) for worker in standing.workers],
            "servers": servers,
            "problems": [asdict(problem) for problem in found],
        }

    async def _of_user(self, user_id: str) -> Shown:
        standing = await self._store.overview.of_user(user_id)
        tasks = rows_of(standing, "task", self._modules)
        return {
            "at": standing.at,
            "tasks": [task_json(row, self._modules, standing.at, None) for row in tasks],
            "providers": [],
            "workers": [],
            "servers": {},
            "problems": [],
        }


class _Made:
    """An answer for all who ask while it is made, or fresh. What it could not be made of is asked for again at once."""

    def __init__(self, making: Coroutine[Any, Any, Shown]) -> None:
        self._began = monotonic()
        self._until = math.inf
        self.task = asyncio.create_task(making, name="overview", context=Context())
        self.task.add_done_callback(self._ended)

    @property
    def fresh(self) -> bool:
        return monotonic() < self._until

    def _ended(self, task: asyncio.Task[Shown]) -> None:
        now = monotonic()
        failed = task.cancelled() or task.exception() is not None
        self._until = now if failed else now + max(_FRESH_S, _SHARE * (now - self._began))
