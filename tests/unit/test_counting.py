"""What is counted of which event, and that counts add up to figures that are true to a tenth."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import pytest

from jobrunner.errors import Unavailable
from jobrunner.events import emit, subscribe
from jobrunner.job import Status
from jobrunner.store.minutes import Minutes, Tally, Written, added
from jobrunner.store.postgres import Store
from jobrunner.worker import counting
from jobrunner.worker.counting import Counting
from jobrunner.worker.lease import Lease


class Kept:
    """A table of minutes in memory, which may be away."""

    def __init__(self) -> None:
        self.rows: dict[Any, Tally] = {}
        self.writes = 0
        self.away = False

    async def save(self, process: UUID, minutes: Sequence[Written]) -> None:
        if self.away:
            raise Unavailable("gone")
        self.writes += 1
        self.rows |= {(process, each.minute, each.kind, each.name): each.tally for each in minutes}

    def of(self, kind: str, name: str) -> Tally:
        return added(tally for key, tally in self.rows.items() if key[2:] == (kind, name))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def counts(kept: Kept) -> Counting:
    lease = Lease(cast("Store", None), queue="q", tasks=(), max_jobs=1, lease_s=30)
    return Counting(cast("Minutes", kept), lease)


async def test_each_outcome_of_a_provider_is_counted_once(kept: Kept, counts: Counting) -> None:
    with subscribe(counts.heard):
        for verb, outcome in (
            *(("submit", "ok"), ("submit", "limited"), ("submit", "refused"), ("submit", "failed")),
            *(("poll", "ok"), ("poll", "limited"), ("poll", "failed"), ("find", "refused"), ("fetch", "ok")),
        ):
            emit("provider.answered", provider="easel", verb=verb, outcome=outcome, took_s=0.1, retry_after_s=None)
        emit("purchase.failed", provider="easel", error="provider_failed")
        emit("purchase.delivered", provider="easel", took_s=8.0, amount="0.04", unit="usd")
        emit("purchase.delivered", provider="easel", took_s=8.0)
    await counts.run_once()
    easel = kept.of("provider", "easel")
    assert easel.counts == {"calls": 4, "limited": 2, "errors": 3}
    assert easel.spent == {"usd": Decimal("0.04")}
    assert easel.median_s == pytest.approx(8.0)


async def test_jobs_are_counted_when_they_end_and_not_before(kept: Kept, counts: Counting) -> None:
    with subscribe(counts.heard):
        emit("job.started", task="draw")
        emit("job.requeued", task="draw", status=Status.PENDING, error="transient", run_s=1.0)
        emit("job.rescued", task="draw", status=Status.PENDING)
        emit("job.ended", task="draw", status=Status.COMPLETED, error=None, run_s=2.0)
        emit("job.ended", task="draw", status=Status.CANCELLED, error="cancelled", run_s=600.0)
        emit("job.rescued", task="draw", status=Status.FAILED)
        emit("job.ended", task="draw", status=Status.FAILED, error="submit_outcome_unknown", run_s=0.0)
    await counts.run_once()
    draw = kept.of("task", "draw")
    assert draw.counts == {"completed": 1, "cancelled": 1, "failed": 2, "unknown": 1}
    assert draw.median_s == pytest.approx(2.0)


async def test_only_what_changed_is_written(kept: Kept, counts: Counting) -> None:
    await counts.run_once()
    assert kept.writes == 0
    with subscribe(counts.heard):
        emit("job.ended", task="draw", status=Status.COMPLETED, error=None, run_s=1.0)
    for _ in range(3):
        await counts.run_once()
    assert kept.writes == 1


async def test_an_outage_loses_nothing_and_holds_a_bounded_number(
    kept: Kept, counts: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_HELD", 3)
    kept.away = True
    with subscribe(counts.heard):
        for number in range(5):
            emit("job.ended", task=f"draw-{number}", status=Status.COMPLETED, error=None, run_s=1.0)
            with pytest.raises(Unavailable):
                await counts.run_once()
    kept.away = False
    await counts.run_once()
    assert [key[3] for key in kept.rows] == ["draw-2", "draw-3", "draw-4"]
    assert kept.of("task", "draw-4").counts == {"completed": 1}


async def test_every_minute_is_counted_for_itself(
    kept: Kept, counts: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subscribe(counts.heard):
        for minute in range(3):
            start = counts._now() + timedelta(minutes=minute)
            monkeypatch.setattr(counts, "_now", lambda start=start: start)
            monkeypatch.setattr(counting, "monotonic", lambda minute=minute: 1e9 + 60 * minute)
            emit("job.ended", task="draw", status=Status.COMPLETED, error=None, run_s=1.0)
            emit("job.ended", task="draw", status=Status.COMPLETED, error=None, run_s=1.0)
            monkeypatch.undo()
    await counts.run_once()
    assert [tally.counts["completed"] for tally in kept.rows.values()] == [2, 2, 2]


@pytest.mark.parametrize("seconds", [0.002, 0.3, 7.0, 95.0, 3600.0])
def test_a_median_is_true_to_a_tenth(seconds: float) -> None:
    tally = Tally()
    for each in (0.0, seconds, seconds * 1000):
        tally.took(each)
    assert tally.median_s == pytest.approx(seconds, rel=0.1)


def test_nothing_has_no_median() -> None:
    assert (Tally().median_s, Tally().mean_s) == (None, None)


def test_tallies_add_up() -> None:
    one, other = Tally(), Tally()
    for tally, seconds in ((one, 1.0), (one, 1.0), (other, 4.0)):
        tally.took(seconds)
        tally.paid(Decimal("0.1"), "usd")
    other.counts["calls"] = 2
    total = added((one, other))
    assert total.counts["calls"] == 2
    assert total.spent == {"usd": Decimal("0.3")}
    assert (total.median_s, total.mean_s) == (1.0, 2.0)
