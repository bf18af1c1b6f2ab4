"""/metrics: the figures of this process, and how many jobs wait in Postgres."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from aiohttp import web

from jobrunner.api.ops import in_time
from jobrunner.api.routes import Route, caller_of
from jobrunner.errors import Forbidden, Unavailable
from jobrunner.events import subscribe
from jobrunner.job import Status
from jobrunner.observe.metrics import Metrics
from jobrunner.store.overview import Open, Overview

_ASKED_S = 8.0
"""Prometheus waits 10 s for an answer, unless it is told otherwise."""


class Scraped:
    """Postgres is asked for each scrape; while it is away, what it alone knows is left out."""

    def __init__(self, overview: Overview, metrics: Metrics) -> None:
        self._overview = overview
        self._metrics = metrics
        self._jobs = metrics.gauge("jobs", "Jobs that have not ended.", ["task", "status"])
        self._age = metrics.gauge("queue_age_seconds", "For how long the oldest pending job has been due.", ["task"])

    def routes(self) -> Iterable[Route]:
        summary = "Figures for Prometheus; not for keys that are bound to a user"
        yield Route("GET", "/metrics", self.scrape, "read", summary, answers={200: "text/plain"})

    async def listening(self, _app: web.Application) -> AsyncIterator[None]:
        """Count as long as the server runs."""
        with subscribe(self._metrics):
            yield

    async def scrape(self, request: web.Request) -> web.Response:
        """Raises Forbidden."""
        caller = caller_of(request)
        if caller.user_id is not None:
            raise Forbidden(
                f"The figures are of everybody's jobs, and the key {caller.name!r} is bound to {caller.user_id!r}. Use "
                "a key with the scope 'read' that is bound to nobody."
            )
        try:
            standing = await in_time(self._overview.unended(), _ASKED_S)
        except (Unavailable, TimeoutError):
            standing = None
        self._jobs.clear()  # a task of which nothing is left is shown no more
        self._age.clear()
        if standing is not None:
            self._show(*standing)
        return self._metrics.answer()

    def _show(self, at: datetime, unended: Iterable[Open]) -> None:
        jobs: Counter[tuple[str, Status]] = Counter()
        oldest: dict[str, datetime] = {}
        for each in unended:
            jobs[each.task, Status.PENDING] += each.pending
            jobs[each.task, Status.IN_PROGRESS] += each.in_progress
            if each.due_since is not None:
                oldest[each.task] = min(each.due_since, oldest.get(each.task, each.due_since))
        for (task, status), count in jobs.items():
            self._jobs.labels(task, status.value).set(count)
        for task, since in oldest.items():
            self._age.labels(task).set((at - since).total_seconds())
