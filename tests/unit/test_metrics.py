"""Events as figures."""

from typing import Any, cast

import pytest

from jobrunner.events import emit, subscribe
from jobrunner.job import Status
from jobrunner.observe.metrics import Metrics
from jobrunner.store.database import PoolUse
from jobrunner.store.postgres import Store


class Pool:
    def connections(self) -> PoolUse:
        return PoolUse(open=4, used=1, limit=10)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(cast("Store", Pool()))


def figures(metrics: Metrics) -> dict[str, float]:
    """By their names in Prometheus, labels included and ours not repeated."""
    body = metrics.answer().body
    assert isinstance(body, bytes)
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    return {
        name.removeprefix("jobrunner_"): float(value) for name, _, value in (line.rpartition(" ") for line in lines)
    }


def told(metrics: Metrics, *events: tuple[str, dict[str, Any]]) -> dict[str, float]:
    with subscribe(metrics):
        for name, fields in events:
            emit(name, **fields)
    return figures(metrics)


def test_jobs_are_counted_by_task_and_status_and_attempts_by_how_long_they_ran(metrics: Metrics) -> None:
    paint = {"task": "paint"}
    found = told(
        metrics,
        ("job.submitted", paint),
        ("job.started", {**paint, "waited_s": 0.3}),
        ("job.requeued", {**paint, "status": Status.PENDING, "run_s": 3.0}),
        ("job.ended", {**paint, "status": Status.COMPLETED, "run_s": 40.0}),
        ("job.rescued", {**paint, "status": Status.PENDING}),
        ("job.rescued", {**paint, "status": Status.FAILED}),
        ("task.stuck", {"stuck": 1}),
    )
    assert found['jobs_submitted_total{task="paint"}'] == 1
    assert found['jobs_requeued_total{task="paint"}'] == 1
    assert found['jobs_rescued_total{task="paint"}'] == 2
    for status in ("completed", "failed"):
        assert found[f'jobs_ended_total{{status="{status}",task="paint"}}'] == 1
    assert found['pickup_seconds_bucket{le="0.25",task="paint"}'] == 0
    assert found['pickup_seconds_bucket{le="0.5",task="paint"}'] == 1
    assert found['run_seconds_count{task="paint"}'] == 2
    assert found['run_seconds_sum{task="paint"}'] == 43.0


def test_providers_are_counted_by_how_they_answer_and_what_they_cost(metrics: Metrics) -> None:
    fal = {"provider": "fal"}
    found = told(
        metrics,
        ("provider.answered", {**fal, "verb": "submit", "outcome": "limited", "took_s": 0.2}),
        ("provider.answered", {**fal, "verb": "submit", "outcome": "ok", "took_s": 0.4}),
        ("purchase.delivered", {**fal, "took_s": 12.0, "amount": "0.25", "unit": "usd"}),
        ("purchase.delivered", {**fal, "took_s": 8.0, "amount": "0.5", "unit": "usd"}),
        ("purchase.delivered", {**fal, "took_s": 1.0}),
        ("purchase.failed", {**fal, "error": "content_policy"}),
    )
    for outcome in ("limited", "ok"):
        assert found[f'provider_calls_total{{outcome="{outcome}",provider="fal",verb="submit"}}'] == 1
    assert found['provider_call_seconds_sum{provider="fal",verb="submit"}'] == pytest.approx(0.6)
    assert found['purchase_seconds_count{provider="fal"}'] == 3
    assert found['purchases_failed_total{provider="fal"}'] == 1
    assert found['spent_total{provider="fal",unit="usd"}'] == 0.75


def test_what_is_asked_for_at_the_scrape(metrics: Metrics) -> None:
    value = 1.0
    metrics.asked("slots", "How many.", lambda: value)
    beats = [("loop.beat", {"late_s": late_s}) for late_s in (0.02, 0.5, 0.01)]
    found = told(metrics, *beats)
    assert (found["slots"], found["loop_lag_seconds"]) == (1.0, 0.5)
    pool = [found[name] for name in ("pool_connections", "pool_connections_used", "pool_connections_limit")]
    assert pool == [4, 1, 10]
    assert found["process_resident_memory_bytes"] > 0
    value = 2.0
    assert told(metrics, *[("loop.beat", {"late_s": 0.0})] * 60)["loop_lag_seconds"] == 0.0
    assert figures(metrics)["slots"] == 2.0
