"""For operators and the curious: /livez, /readyz, /v1/tasks and what `/` says."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version

from aiohttp import web

from jobrunner.api.answers import Alive, Readiness, Server, Tasks
from jobrunner.api.routes import Route
from jobrunner.api.shapes import answer
from jobrunner.client.showing import show_task
from jobrunner.errors import ConfigError, Unavailable
from jobrunner.runtime import Runtime

CHECK_S = 2.0
"""A check that has no answer by then has failed."""


@dataclass(frozen=True, slots=True)
class Check:
    """`detail` says what to do, or what was found."""

    ok: bool
    detail: str


Checks = Mapping[str, Check]


class Ops:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def routes(self) -> Iterable[Route]:
        yield Route("GET", "/", self.describe, None, "What there is", answers={200: Server})
        yield Route("GET", "/livez", self.live, None, "Whether the server runs", answers={200: Alive})
        summary = "Whether it can do its work, and what it lacks"
        yield Route("GET", "/readyz", self.ready, None, summary, answers={200: Readiness, 503: Readiness})
        summary = "List the tasks with the JSON Schemas of their params"
        yield Route("GET", "/v1/tasks", self.tasks, "read", summary, answers={200: Tasks})

    async def describe(self, _request: web.Request) -> web.Response:
        links = {"jobs": "/v1/jobs", "tasks": "/v1/tasks", "live": "/livez", "ready": "/readyz"}
        links |= {"docs": "/docs", "openapi": "/openapi.json"}
        return answer({"name": "jobrunner", "version": version("jobrunner"), "links": links})

    async def live(self, _request: web.Request) -> web.Response:
        return answer({"status": "ok"})

    async def ready(self, _request: web.Request) -> web.Response:
        asked = {
            ("postgres", "migrations", "workers"): self._postgres(),
            ("redis",): self._redis(),
        }
        answers = await asyncio.gather(*(_bounded(names, checks) for names, checks in asked.items()))
        checks = {name: check for each in answers for name, check in each.items()}
        ready = all(check.ok for check in checks.values())
        body = {"status": "ok" if ready else "unavailable", "checks": {k: asdict(v) for k, v in checks.items()}}
        return answer(body, status=200 if ready else 503)

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
    """The checks' findings, in CHECK_S at most.

    Not `asyncio.timeout`: a cancelled query waits for its connection to be clean again, and a stopped server never
    cleans it.
    """
    task = asyncio.ensure_future(checks)
    await asyncio.wait([task], timeout=CHECK_S)
    if not task.done():
        task.cancel()
        task.add_done_callback(lambda late: late.cancelled() or late.exception())
        return dict.fromkeys(names, Check(ok=False, detail=f"no answer within {CHECK_S:g} s; is the server stuck?"))
    try:
        return task.result()
    except (Unavailable, ConfigError) as error:
        return dict.fromkeys(names, Check(ok=False, detail=str(error)))
