"""For operators and the curious: /livez, /readyz, /startupz and /v1/tasks."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from aiohttp import web

from jobrunner.api.answers import Alive, Readiness, Tasks
from jobrunner.api.routes import Route
from jobrunner.api.shapes import answer
from jobrunner.client.showing import show_task
from jobrunner.errors import ConfigError, Unavailable
from jobrunner.observe.probes import Check, Checks, verdict
from jobrunner.runtime import Runtime

T = TypeVar("T")

CHECK_S = 2.0
"""A check that has no answer by then has failed."""


class Ops:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._begun: Checks = {}

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/livez", self.live, None, "Whether the server runs", answers={200: Alive})
        summary = "Whether it can do its work, and what it lacks"
        yield Route("GET", "/readyz", self.ready, None, summary, answers={200: Readiness, 503: Readiness})
        summary = "Whether it could do its work once, workers aside"
        yield Route("GET", "/startupz", self.begun, None, summary, answers={200: Readiness, 503: Readiness})
        summary = "List the tasks with the JSON Schemas of their params"
        yield Route("GET", "/v1/tasks", self.tasks, "read", summary, answers={200: Tasks})

    async def live(self, _request: web.Request) -> web.Response:
        return answer({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        return verdict(await self.checks())

    async def begun(self, _request: web.Request) -> web.Response:
        """Once it is well it stays so. Workers may start after the server: they do not count here."""
        if not self._begun:
            checks = {name: check for name, check in (await self.checks()).items() if name != "workers"}
            if not all(check.ok for check in checks.values()):
                return verdict(checks)
            self._begun = checks
        return verdict(self._begun)

    async def checks(self) -> Checks:
        """Whether the server can do its work. Raises nothing, and takes CHECK_S at most."""
        asked = {
            ("postgres", "migrations", "workers"): self._postgres(),
            ("redis",): self._redis(),
        }
        answers = await asyncio.gather(*(_bounded(names, checks) for names, checks in asked.items()))
        return {name: check for each in answers for name, check in each.items()}

    async def tasks(self, _request: web.Request) -> web.Response:
        specs = [spec for _, spec in sorted(self._runtime.client.tasks.items())]
        return answer({"data": [show_task(spec).model_dump() for spec in specs]})

    async def _postgres(self) -> Checks:
        answers = Check(ok=True, detail="answers")
        unknown = Check(ok=False, detail="cannot be told before the migrations are in order")
        try:
            missing = await self._runtime.store.missing_migrations()
        except ConfigError as error:
            return {"postgres": answers, "migrations": Check(ok=False, detail=str(error)), "workers": unknown}
        if missing:
            lack = Check(ok=False, detail=f"missing: {', '.join(missing)}; run `jobrunner migrate`")
            return {"postgres": answers, "migrations": lack, "workers": unknown}
        applied = Check(ok=True, detail="all applied")
        return {"postgres": answers, "migrations": applied, "workers": await self._workers()}

    async def _workers(self) -> Check:
        queue = self._runtime.settings.worker.queue
        alive = await self._runtime.store.leases.alive_workers(queue)
        if alive:
            return Check(ok=True, detail=f"{alive} alive on queue {queue!r}")
        detail = f"no worker is alive on queue {queue!r}; start `jobrunner worker`. Jobs are taken meanwhile, and wait"
        return Check(ok=False, detail=detail)

    async def _redis(self) -> Checks:
        await self._runtime.queue.check()
        # It writes: a Redis that is full, or a replica, answers questions and refuses jobs.
        await self._runtime.queue.epoch()
        return {"redis": Check(ok=True, detail="answers and takes writes")}


async def _bounded(names: tuple[str, ...], checks: Awaitable[Checks]) -> Checks:
    """The checks' findings, in CHECK_S at most."""
    try:
        return await in_time(checks, CHECK_S)
    except TimeoutError:
        return dict.fromkeys(names, Check(ok=False, detail=f"no answer within {CHECK_S:g} s; is the server stuck?"))
    except (Unavailable, ConfigError) as error:
        return dict.fromkeys(names, Check(ok=False, detail=str(error)))


async def in_time(asking: Awaitable[T], within_s: float) -> T:
    """What it answers. Raises TimeoutError where that takes longer.

    Not `asyncio.timeout`: a cancelled query waits for its connection to be clean again, and a stopped server never
    cleans it.
    """
    task = asyncio.ensure_future(asking)
    await asyncio.wait([task], timeout=within_s)
    if task.done():
        return task.result()
    task.cancel()
    task.add_done_callback(lambda late: late.cancelled() or late.exception())
    raise TimeoutError
