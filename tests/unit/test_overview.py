"""From rows to what the control room shows, and what it says is wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from jobrunner.client.overview import provider_json, rows_of, task_json, wait_s
from jobrunner.client.problems import Problem, problems
from jobrunner.store.minutes import HOUR_MINUTES, Hour, Kind, Tally
from jobrunner.store.overview import Open, Standing, Worker

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
HALF_PAST = NOW - timedelta(minutes=27)
QUEUE = "arq:queue"
WELL = {"postgres": {"ok": True, "detail": "answers"}}


def opened(**changes: Any) -> Open:
    values = {"queue": QUEUE, "task": "draw", "module": "image", "provider": None, "pending": 0, "due": 0}
    return Open(**{**values, "due_since": None, "put_off": 0, "in_progress": 0, **changes})


def worker(**changes: Any) -> Worker:
    values = {"id": UUID(int=1), "host": "attic", "pid": 7, "version": "1", "queue": QUEUE, "tasks": ["draw"]}
    times = dict.fromkeys(("started_at", "renewed_at"), NOW) | {"lease_until": NOW, "dead_at": None}
    return Worker(**{**values, **times, "max_jobs": 10, "in_flight": 0, "stats": {}, "alive": True, **changes})


def minute(kind: Kind, name: str, *, ago: int = 0, took_s: Sequence[float] = (), **counts: int) -> Hour:
    tally = Tally(Counter(counts))
    for each in took_s:
        tally.took(each)
    return {(kind, name): {ago: tally}}


def standing(*rows: Open, hour: Hour | None = None, workers: Sequence[Worker] = (worker(),), **more: Any) -> Standing:
    return Standing(NOW, rows, hour or {}, workers, **more)


def refusing(state: str, since: datetime) -> Worker:
    return worker(stats={"providers": {"easel": {"state": state, "since": since.isoformat()}}})


def wrong(now: Standing, servers: Mapping[str, Mapping[str, Any]] = WELL) -> list[Problem]:
    tasks, calls = rows_of(now, "task", ()), rows_of(now, "provider", ["easel"])
    providers = [provider_json(row, now) for row in calls]
    return problems(now, queue=QUEUE, tasks=tasks, providers=providers, calls=calls, servers=servers)


def waits(now: Standing) -> float | None:
    return wait_s(now, QUEUE, rows_of(now, "task", ()))


# ---- figures -----------------------------------------------------------------------------------


def test_a_task_s_rows_and_minutes_become_one_line() -> None:
    now = standing(
        opened(pending=3, due=2, due_since=NOW - timedelta(seconds=90), in_progress=1),
        opened(queue="other", pending=1, due=1, due_since=NOW - timedelta(seconds=5)),
        opened(provider="easel", pending=4),
        hour={
            ("task", "draw"): {
                0: Tally(Counter(completed=2, failed=1), seconds=Counter({8: 2})),
                59: Tally(Counter(cancelled=2)),
            },
            ("provider", "draw"): {0: Tally(Counter(calls=9))},
        },
    )
    [row] = rows_of(now, "task", ())
    shown = task_json(row, {"draw": "image"}, NOW, None)
    assert (shown["pending"], shown["in_progress"], shown["oldest_pending_s"]) == (8, 1, 90.0)
    assert (shown["completed_1h"], shown["failed_1h"]) == (2, 1)
    assert shown["ended_per_minute"] == [2, *[0] * (HOUR_MINUTES - 2), 3]
    assert shown["median_s"] == [*[None] * (HOUR_MINUTES - 1), 4.0]


def test_known_tasks_and_providers_are_shown_before_anything_happened() -> None:
    assert [row.name for row in rows_of(standing(), "task", ["b", "a"])] == ["a", "b"]
    assert [row.name for row in rows_of(standing(opened(provider="seen")), "provider", ["known"])] == ["known", "seen"]


def test_a_provider_is_in_the_worst_state_that_any_worker_knows_since_the_first_of_them() -> None:
    first, second = NOW - timedelta(minutes=5), NOW - timedelta(minutes=3)
    crew = [refusing("limited", first), refusing("left_alone", NOW), refusing("left_alone", second)]
    now = standing(opened(provider="easel", pending=2), opened(pending=5, put_off=5), workers=crew, bought={"easel": 4})
    [shown] = [provider_json(row, now) for row in rows_of(now, "provider", ())]
    assert (shown["state"], shown["since"]) == ("left_alone", second)
    assert (shown["waiting"], shown["in_progress"]) == (7, 4)


def test_a_dead_worker_s_word_on_providers_is_no_more() -> None:
    gone = [worker(alive=False, stats=refusing("limited", NOW).stats)]
    [shown] = [provider_json(row, standing(workers=gone)) for row in rows_of(standing(), "provider", ["easel"])]
    assert (shown["state"], shown["since"]) == ("ok", None)


def test_what_was_spent_is_told_by_unit() -> None:
    bought = [Tally(spent={"usd": Decimal("0.1"), "credits": Decimal(7)}), Tally(spent={"usd": Decimal("0.2")})]
    now = standing(hour={("provider", "easel"): dict(enumerate(bought))})
    [shown] = [provider_json(row, now) for row in rows_of(now, "provider", ())]
    assert shown["spent_1h"] == {"USD": 0.3, "credits": 7.0}


@pytest.mark.parametrize(
    ("due", "running", "seconds"),
    [(0, 9, 0.0), (0, 10, 0.4), (99, 10, 40.0), (4, 2, 0.0)],
    ids=["a slot is free", "all are taken", "many are ahead", "those ahead have room too"],
)
def test_the_wait_is_that_of_those_ahead(due: int, running: int, seconds: float) -> None:
    now = standing(opened(pending=due, due=due, in_progress=running), hour=minute("task", "draw", took_s=[4.0]))
    assert waits(now) == pytest.approx(seconds)


def test_the_wait_is_unknown_where_nobody_works_or_nothing_ended_yet() -> None:
    busy = opened(in_progress=10)
    assert waits(standing(busy, workers=())) is None
    assert waits(standing(busy, workers=[worker(queue="other")])) is None
    assert waits(standing(busy)) is None


# ---- problems ----------------------------------------------------------------------------------


def test_where_all_is_well_nothing_is_said() -> None:
    quiet = opened(pending=5, due=5, due_since=NOW - timedelta(seconds=30), in_progress=3)
    few = {**minute("task", "draw", completed=1, failed=8), **minute("provider", "easel", calls=9, errors=9)}
    assert wrong(standing(quiet, hour=few)) == []


@pytest.mark.parametrize(
    ("now", "severity", "what", "jobs"),
    [
        (
            standing(opened(provider="easel", pending=214), workers=[refusing("limited", HALF_PAST)]),
            *("warning", "easel answers 429 since 12:03 UTC; 214 jobs wait", 214),
        ),
        (
            standing(opened(pending=1, put_off=1), workers=[refusing("left_alone", HALF_PAST)]),
            *("error", "easel fails, and is left alone since 12:03 UTC; 1 job waits", 1),
        ),
        (
            standing(opened(pending=1200), workers=()),
            *("error", "No worker is alive on queue 'arq:queue'; 1,200 jobs wait", 1200),
        ),
        (
            standing(opened(queue="night", pending=2)),
            *("error", "No worker is alive on queue 'night'; 2 jobs wait", 2),
        ),
        (
            standing(opened(task="sing", pending=3)),
            *("error", "No worker that is alive knows the task sing; 3 jobs wait", 3),
        ),
        (
            standing(opened(pending=50, due=50, due_since=HALF_PAST, in_progress=10)),
            *("warning", "All 10 slots on queue 'arq:queue' are taken; 50 jobs wait, the longest since 12:03 UTC", 50),
        ),
        (
            standing(opened(pending=1, due=1, due_since=NOW - timedelta(days=1), in_progress=9)),
            "error",
            "Slots are free on queue 'arq:queue', and jobs that are due since Nov 22, 12:30 UTC are not taken",
            1,
        ),
        (
            standing(hour=minute("provider", "easel", calls=10, errors=6, ago=9)),
            *("warning", "6 of 10 calls of easel failed in 10 minutes", None),
        ),
        (
            standing(hour=minute("task", "draw", failed=1000, completed=200)),
            *("warning", "1,000 of 1,200 jobs of draw failed in 10 minutes", None),
        ),
        (
            standing(hour=minute("task", "draw", failed=1, unknown=1, ago=50)),
            *("error", "Of 1 job of draw nobody knows whether the purchase was made (in this hour)", None),
        ),
        (
            standing(workers=[worker(), *[worker(alive=False, dead_at=HALF_PAST)] * 3]),
            *("warning", "Worker 7 on attic and 2 more died or lost Postgres at 12:03 UTC", None),
        ),
        (
            standing(workers=[worker(stats={"loop_lag_ms": 3210.0})]),
            *("warning", "The event loop of Worker 7 on attic stood still, for 3.2 s at the longest", None),
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(now: Standing, severity: str, what: str, jobs: int | None) -> None:
    [problem] = wrong(now)
    assert (problem.severity, problem.jobs) == (severity, jobs)
    assert problem.what.startswith(what)
    assert problem.remedy


def test_the_worst_comes_first() -> None:
    crew = [refusing("limited", HALF_PAST)]
    now = standing(opened(provider="easel", pending=99), opened(task="sing", pending=3), workers=crew)
    sick = {"redis": {"ok": False, "detail": "Redis did not answer."}, "workers": {"ok": False, "detail": "none"}}
    assert [problem.what.split()[0] for problem in wrong(now, sick)] == ["No", "redis:", "easel"]


def test_a_worker_that_does_not_say_what_it_knows_may_know_everything() -> None:
    assert wrong(standing(opened(task="sing", pending=3), workers=[worker(tasks=None)])) == []


def test_a_provider_in_trouble_is_told_of_once() -> None:
    failing = minute("provider", "easel", calls=50, errors=50)
    [problem] = wrong(standing(hour=failing, workers=[refusing("left_alone", HALF_PAST)]))
    assert problem.what.startswith("easel fails, and is left alone")
