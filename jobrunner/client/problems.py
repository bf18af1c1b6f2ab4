"""What is wrong, in words, with what to do about it. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from jobrunner.client.overview import LEFT_ALONE, OK, Row
from jobrunner.job import TERMINAL, WEBHOOK_TASK
from jobrunner.store.minutes import added
from jobrunner.store.overview import Open, Standing, Worker

_RECENT = 10
"""How many minutes are looked at where it goes wrong more often than not ..."""

_ENOUGH = 10
"""... and of how many that must be true."""

_LONG = timedelta(minutes=1)
"""How long a job may be due before somebody is told."""

_LATE_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Problem:
    """`since` when, and how many `jobs` wait for its end; None: that is not the question."""

    severity: Literal["error", "warning"]
    what: str
    remedy: str
    since: datetime | None = None
    jobs: int | None = None


def problems(
    standing: Standing,
    *,
    queue: str,
    tasks: Sequence[Row],
    providers: Sequence[Mapping[str, Any]],
    calls: Sequence[Row],
    servers: Mapping[str, Mapping[str, Any]],
) -> list[Problem]:
    """Errors first, and of each severity what keeps most jobs waiting.

    `queue` is this server's own, `providers` are as they are shown, `calls` the rows that they come from.
    """
    found = [
        *_of_servers(servers),
        *_of_queues(standing, queue),
        *_of_providers(providers),
        *_of_calls(calls, {each["provider"] for each in providers if each["state"] != OK}),
        *_of_tasks(tasks),
        *_of_workers(standing),
    ]
    return sorted(found, key=lambda each: (each.severity != "error", -(each.jobs or 0)))


def _of_servers(servers: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    for name, check in servers.items():
        if not check["ok"] and name != "workers":  # of which the queues tell
            yield Problem("error", f"{name}: {check['detail']}", "`jobrunner doctor` looks closer.")


def _of_queues(standing: Standing, own: str) -> Iterator[Problem]:
    """Queues whose jobs nobody takes, or not in time."""
    opened = defaultdict[str, list[Open]](list, {own: []})
    for each in standing.open:
        opened[each.queue].append(each)
    for queue, waiting in sorted(opened.items()):
        crew = [worker for worker in standing.workers if worker.alive and worker.queue == queue]
        if crew:
            yield from _unknown(waiting, crew)
            yield from _behind(queue, waiting, crew, standing.at)
        else:
            jobs = sum(each.pending for each in waiting)
            what = f"No worker is alive on queue {queue!r}{_waits(jobs)}"
            yield Problem("error", what, "Start `jobrunner worker`.", jobs=jobs)


def _unknown(waiting: Iterable[Open], crew: Iterable[Worker]) -> Iterator[Problem]:
    """Tasks that no living worker can run."""
    told = [worker.tasks for worker in crew]
    lacking: dict[str, int] = {}
    for each in waiting:
        if each.pending and all(tasks is not None and each.task not in tasks for tasks in told):
            lacking[each.task] = lacking.get(each.task, 0) + each.pending
    for task, jobs in lacking.items():
        remedy = "Add its module to `task_modules` where the workers run, and restart them."
        yield Problem("error", f"No worker that is alive knows the task {task}{_waits(jobs)}", remedy, jobs=jobs)


def _behind(queue: str, waiting: Iterable[Open], crew: Iterable[Worker], at: datetime) -> Iterator[Problem]:
    known = {task for worker in crew for task in worker.tasks or ()}
    mute = any(worker.tasks is None for worker in crew)
    due = [each for each in waiting if each.due_since is not None and (mute or each.task in known)]
    since = min((each.due_since for each in due if each.due_since is not None), default=at)
    if at - since < _LONG:
        return
    jobs, slots = sum(each.due for each in due), sum(worker.max_jobs for worker in crew)
    if sum(each.in_progress for each in waiting) >= slots:
        what = f"All {slots:,} slots on queue {queue!r} are taken{_waits(jobs)}, the longest since {clock(since, at)}"
        yield Problem("warning", what, "Start more workers, or raise `worker.max_jobs`.", since, jobs)
    else:
        what = f"Slots are free on queue {queue!r}, and jobs that are due since {clock(since, at)} are not taken"
        remedy = "Look at the workers' logs, whether they reach Redis and Postgres, and at `jobrunner inspect`."
        yield Problem("error", what, remedy, since, jobs)


def _of_providers(providers: Iterable[Mapping[str, Any]]) -> Iterator[Problem]:
    for each in providers:
        if each["state"] == OK:
            continue
        name, since, jobs = each["provider"], each["since"], each["waiting"]
        if each["state"] == LEFT_ALONE:
            what = f"{name} fails, and is left alone since {clock(since)}{_waits(jobs)}"
            remedy = "It is asked again by itself, one job at a time. Its status page may say more; add a second route."
            yield Problem("error", what, remedy, since, jobs)
        else:
            what = f"{name} answers 429 since {clock(since)}{_waits(jobs)}"
            remedy = "They go on by themselves. Ask the provider for a higher limit, or add a second route."
            yield Problem("warning", what, remedy, since, jobs)


def _of_calls(calls: Iterable[Row], told: Iterable[str]) -> Iterator[Problem]:
    for row in calls:
        counts = added(row.minutes[-_RECENT:]).counts
        if row.name not in told and _mostly(counts["errors"], counts["calls"]):
            what = f"{counts['errors']:,} of {counts['calls']:,} calls of {row.name} failed in {_RECENT} minutes"
            remedy = "The failed jobs' errors have its words; `jobrunner doctor` tries its key."
            yield Problem("warning", what, remedy)


def _of_tasks(tasks: Iterable[Row]) -> Iterator[Problem]:
    for row in tasks:
        counts = added(row.minutes[-_RECENT:]).counts
        ended = sum(counts[status.value] for status in TERMINAL)
        if _mostly(counts["failed"], ended):
            what = f"{counts['failed']:,} of {ended:,} jobs of {row.name} failed in {_RECENT} minutes"
            remedy = "Their webhooks say why." if row.name == WEBHOOK_TASK else "Their errors say why."
            yield Problem("warning", what, remedy)
        if unknown := row.hour.counts["unknown"]:
            what = f"Of {_jobs(unknown)} of {row.name} nobody knows whether the purchase was made (in this hour)"
            yield Problem("error", what, "Look at the provider's own list. A retry buys again.")


def _of_workers(standing: Standing) -> Iterator[Problem]:
    lost = [worker for worker in standing.workers if not worker.alive]
    if lost:
        since = min(worker.dead_at or worker.lease_until for worker in lost)
        what = f"{_named(lost)} died or lost Postgres at {clock(since, standing.at)}; their jobs go on elsewhere"
        yield Problem("warning", what, "Look at the end of their logs, and whether memory ran out.", since)
    late = [worker for worker in standing.workers if worker.alive and _lag_ms(worker) >= _LATE_MS]
    if late:
        worst = max(late, key=_lag_ms)
        what = f"The event loop of {_named(late)} stood still, for {_lag_ms(worst) / 1000:.1f} s at the longest"
        yield Problem("warning", what, "`loop.blocked` in the worker's log names the culprit.")


def clock(moment: datetime, now: datetime | None = None) -> str:
    """`now`: the day that need not be named."""
    day = "" if now is None or moment.date() == now.date() else f"{moment:%b} {moment.day}, "
    return f"{day}{moment:%H:%M} UTC"


def _waits(jobs: int) -> str:
    if not jobs:
        return ""
    return f"; {_jobs(jobs)} {'waits' if jobs == 1 else 'wait'}"


def _jobs(number: int) -> str:
    return f"{number:,} job{'' if number == 1 else 's'}"


def _named(workers: Sequence[Worker]) -> str:
    first = workers[0]
    more = f" and {len(workers) - 1} more" if len(workers) > 1 else ""
    return f"Worker {first.pid} on {first.host}{more}"


def _lag_ms(worker: Worker) -> float:
    return float(worker.stats.get("loop_lag_ms") or 0.0)


def _mostly(bad: int, of: int) -> bool:
    return of >= _ENOUGH and bad * 2 >= of
