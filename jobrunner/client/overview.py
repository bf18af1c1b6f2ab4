"""How things stand, as the control room shows it: by task, by provider, by worker. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobrunner.job import TERMINAL, WEBHOOK_MODULE, WEBHOOK_TASK
from jobrunner.store.minutes import HOUR_MINUTES, Kind, Tally, added
from jobrunner.store.overview import Open, Standing, Worker

OK = "ok"
LEFT_ALONE = "left_alone"


@dataclass(frozen=True, slots=True)
class Row:
    """What goes by one name: its jobs that have not ended, the last hour, and its minutes, the oldest first."""

    name: str
    open: Sequence[Open]
    hour: Tally
    minutes: Sequence[Tally]

    def medians_s(self) -> list[float | None]:
        return [each.median_s and round(each.median_s, 3) for each in self.minutes]


def rows_of(standing: Standing, kind: Kind, known: Iterable[str]) -> list[Row]:
    """One for each name that is `known` or seen, in order."""
    counted = {name: by_minute for (of, name), by_minute in standing.hour.items() if of == kind}
    opened = defaultdict[str, list[Open]](list)
    for each in standing.open:
        name = each.task if kind == "task" else each.provider
        if name is not None:
            opened[name].append(each)
    nothing = Tally()
    rows = []
    for name in sorted({*known, *counted, *opened}):
        by_minute = counted.get(name, {})
        minutes = [by_minute.get(ago, nothing) for ago in reversed(range(HOUR_MINUTES))]
        rows.append(Row(name, opened[name], added(by_minute.values()), minutes))
    return rows


def task_json(row: Row, modules: Mapping[str, str], at: datetime, wait_s: float | None) -> dict[str, Any]:
    """`modules`: of every task that is known."""
    hour = row.hour.counts
    module = WEBHOOK_MODULE if row.name == WEBHOOK_TASK else next((each.module for each in row.open), "")
    waits_since = min((each.due_since for each in row.open if each.due_since is not None), default=None)
    return {
        "task": row.name,
        "module": modules.get(row.name, module),
        "pending": sum(each.pending for each in row.open),
        "in_progress": sum(each.in_progress for each in row.open),
        "completed_1h": hour["completed"],
        "failed_1h": hour["failed"],
        "oldest_pending_s": None if waits_since is None else round((at - waits_since).total_seconds(), 1),
        "wait_s": wait_s,
        "ended_per_minute": [sum(each.counts[status.value] for status in TERMINAL) for each in row.minutes],
        "median_s": row.medians_s(),
    }


def wait_s(standing: Standing, queue: str, tasks: Iterable[Row]) -> float | None:
    """How long a job waits that is submitted now, if the slots of the living workers empty as fast as in this hour.

    None where nobody knows: no worker lives, or nothing has completed yet.
    """
    slots = sum(worker.max_jobs for worker in standing.workers if worker.alive and worker.queue == queue)
    opened = [each for each in standing.open if each.queue == queue]
    ahead = sum(each.due for each in opened) + sum(each.in_progress for each in opened) - slots + 1
    if slots and ahead <= 0:
        return 0.0
    mean_s = added(row.hour for row in tasks).mean_s
    return round(ahead * mean_s / slots, 1) if slots and mean_s is not None else None


def provider_json(row: Row, standing: Standing) -> dict[str, Any]:
    hour = row.hour
    state, since = _state(row.name, standing.workers)
    return {
        "provider": row.name,
        "in_progress": standing.bought.get(row.name, 0),
        "calls_1h": hour.counts["calls"],
        "errors_1h": hour.counts["errors"],
        "limited_1h": hour.counts["limited"],
        "spent_1h": {"USD" if unit == "usd" else unit: float(amount) for unit, amount in sorted(hour.spent.items())},
        "calls_per_minute": [each.counts["calls"] for each in row.minutes],
        "median_s": row.medians_s(),
        "state": state,
        "since": since,
        "waiting": sum(each.pending for each in row.open) + (_put_off(standing) if state == LEFT_ALONE else 0),
    }


def worker_json(worker: Worker) -> dict[str, Any]:
    said = ("id", "host", "pid", "version", "queue", "started_at", "renewed_at", "lease_until", "max_jobs", "in_flight")
    return {
        **{name: getattr(worker, name) for name in said},
        "loop_lag_ms": worker.stats.get("loop_lag_ms"),
        "memory_bytes": worker.stats.get("memory_bytes"),
        "alive": worker.alive,
    }


def _state(provider: str, workers: Iterable[Worker]) -> tuple[str, datetime | None]:
    """What most hinders work there as its workers know it, and since when the first of them does."""
    told = [worker.stats.get("providers", {}).get(provider) for worker in workers if worker.alive]
    found = [(each["state"], datetime.fromisoformat(each["since"])) for each in told if each is not None]
    return min(found, key=lambda each: (each[0] != LEFT_ALONE, each[1]), default=(OK, None))


def _put_off(standing: Standing) -> int:
    """Those whose attempt was put off: no row says for which provider, so they are told of each that is left alone."""
    return sum(each.put_off for each in standing.open if each.module != WEBHOOK_MODULE)
