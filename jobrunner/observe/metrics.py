"""Figures for Prometheus: counted from events while it listens, and asked for the moment somebody scrapes.

Durations are in seconds. A process counts what it did itself; sums over processes are the reader's.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from aiohttp import hdrs, web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from jobrunner.events import Event
from jobrunner.job import TERMINAL
from jobrunner.store.postgres import Store

_PICKUP_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_WORK_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800)

_BEATS = 60
"""The watchdog's, four a second: a lag shows for 15 s, what most let pass between two scrapes."""

Fields = Mapping[str, Any]
M = TypeVar("M", Counter, Histogram)

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began: they double an answer


class _Series(dict[str | tuple[str, ...], M]):
    """A metric's series by the values of their labels: `labels()` takes as long as all else that is done here."""

    def __init__(self, metric: M) -> None:
        self._metric: M = metric

    def __missing__(self, values: str | tuple[str, ...]) -> M:
        series: M = self._metric.labels(*([values] if isinstance(values, str) else values))
        self[values] = series
        return series


class Metrics:
    """A listener of events: what it does not hear it does not count. `store`'s pool is one of the figures."""

    def __init__(self, store: Store) -> None:
        self._registry = CollectorRegistry()
        self._hearing: dict[str, Callable[[Fields], None]] = {"loop.beat": self._beat}
        self._late_s = deque([0.0], maxlen=_BEATS)
        ProcessCollector(registry=self._registry)
        self._count_jobs()
        self._count_providers()
        self.asked("loop_lag_seconds", "How late the event loop came round, at worst.", lambda: max(self._late_s))
        use = store.connections
        self.asked("pool_connections", "Connections to Postgres that are open.", lambda: use().open)
        self.asked("pool_connections_used", "Those of them that are in use.", lambda: use().used)
        self.asked("pool_connections_limit", "How many may be open.", lambda: use().limit)

    def __call__(self, event: Event) -> None:
        hear = self._hearing.get(event.name)
        if hear is not None:
            hear(event.fields)

    def answer(self) -> web.Response:
        """All of it, in Prometheus' text format."""
        headers = {hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST}
        return web.Response(body=generate_latest(self._registry), headers=headers)

    def asked(self, name: str, words: str, value: Callable[[], float]) -> None:
        """A figure that `value` answers when somebody scrapes."""
        self.gauge(name, words).set_function(value)

    def gauge(self, name: str, words: str, labels: Sequence[str] = ()) -> Gauge:
        """Figures that their owner keeps."""
        return Gauge(f"jobrunner_{name}", words, labels, registry=self._registry)

    def _count_jobs(self) -> None:
        submitted = self._counter("jobs_submitted", "Jobs that were taken in.", ["task"])
        ended = self._counter("jobs_ended", "Jobs that ended, by their last status.", ["task", "status"])
        requeued = self._counter("jobs_requeued", "Attempts whose job went back: retries, hand-backs.", ["task"])
        rescued = self._counter("jobs_rescued", "Jobs taken from workers that died.", ["task"])
        pickup = self._histogram("pickup_seconds", "From due to claimed.", ["task"], _PICKUP_S)
        run = self._histogram("run_seconds", "How long attempts ran.", ["task"], _WORK_S)

        def end(fields: Fields) -> None:
            ended[fields["task"], fields["status"]].inc()
            run[fields["task"]].observe(fields["run_s"])

        def requeue(fields: Fields) -> None:
            requeued[fields["task"]].inc()
            run[fields["task"]].observe(fields["run_s"])

        def rescue(fields: Fields) -> None:
            rescued[fields["task"]].inc()
            if fields["status"] in TERMINAL:
                ended[fields["task"], fields["status"]].inc()

        self._hearing |= {
            "job.submitted": lambda fields: submitted[fields["task"]].inc(),
            "job.started": lambda fields: pickup[fields["task"]].observe(fields["waited_s"]),
            "job.ended": end,
            "job.requeued": requeue,
            "job.rescued": rescue,
        }

    def _count_providers(self) -> None:
        by_verb = ["provider", "verb"]
        calls = self._counter("provider_calls", "Calls, by how they went; limited: 429.", [*by_verb, "outcome"])
        call = self._histogram("provider_call_seconds", "How long a call took.", by_verb, _WORK_S)
        purchase = self._histogram("purchase_seconds", "From intent to kept files.", ["provider"], _WORK_S)
        failed = self._counter("purchases_failed", "What a provider took and did not bring.", ["provider"])
        spent = self._counter("spent", "What purchases cost, as the provider counts.", ["provider", "unit"])

        def answered(fields: Fields) -> None:
            calls[fields["provider"], fields["verb"], fields["outcome"]].inc()
            call[fields["provider"], fields["verb"]].observe(fields["took_s"])

        def delivered(fields: Fields) -> None:
            purchase[fields["provider"]].observe(fields["took_s"])
            if "amount" in fields:
                spent[fields["provider"], fields["unit"]].inc(float(fields["amount"]))

        self._hearing |= {
            "provider.answered": answered,
            "purchase.delivered": delivered,
            "purchase.failed": lambda fields: failed[fields["provider"]].inc(),
        }

    def _beat(self, fields: Fields) -> None:
        self._late_s.append(fields["late_s"])

    def _counter(self, name: str, words: str, labels: Sequence[str]) -> _Series[Counter]:
        return _Series(Counter(f"jobrunner_{name}", words, labels, registry=self._registry))

    def _histogram(self, name: str, words: str, labels: Sequence[str], buckets: Sequence[float]) -> _Series[Histogram]:
        return _Series(Histogram(f"jobrunner_{name}", words, labels, registry=self._registry, buckets=buckets))
