"""What a bench does, one function a workload: each says how fast it was, and what that cost."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain, repeat
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from jobrunner.bench import tasks
from jobrunner.bench.gauges import Cost, Gauges, between
from jobrunner.bench.load import Taken, post
from jobrunner.bench.plot import Moments, in_flight
from jobrunner.bench.processes import Child, all_ended, started
from jobrunner.declare import SubmitOptions, TaskSpec
from jobrunner.runtime import opened
from jobrunner.settings import Settings

CALL_S = 1.0
"""How long the slow API takes."""

_SLOTS = 500
_CONNECTIONS = 64
_AT_ONCE = 100
_SEQUENCE = 500
_PICKUPS = 200
_PAUSE_S = 0.03
_CROWDS = (1, 2, 4, 8)
_SLOTS_IN_CROWD = 10
_BURST = 25
"""So many times as many jobs come in a burst: 50,000 unless the command line says otherwise."""
_BURST_CONNECTIONS = 500
_BURST_LEASE_S = 3.0
"""Renewed every second: a burst is over before one of usual length would run out."""
_OPTIONS = SubmitOptions(metadata={"bench": True})


@dataclass(slots=True)
class Outcome:
    """`figures` by name with their unit; `cpu_s` by process, over `wall_s`."""

    workload: str
    jobs: int
    figures: dict[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)
    batches: dict[str, float] = field(default_factory=dict)
    commits: int = 0
    wal_bytes: int = 0
    round_trips: int = 0
    commands: int = 0
    moments: Moments = ()

    async def ended(self, process: str, *children: Child) -> list[dict[str, Any]]:
        """End these processes of ours. What each counted since it was ready."""
        reports = await asyncio.gather(*(child.report() for child in children))
        self.cpu_s[process] = sum(
            report["cpu_s"] - child.said["cpu_s"] for child, report in zip(children, reports, strict=True)
        )
        self.peak_mib[process] = max(report["peak_mib"] for report in reports)
        for name in dict.fromkeys(chain(*(report.get("batches", ()) for report in reports))):
            self.batches[name] = statistics.mean(chain(*(report["batches"].get(name, ()) for report in reports)))
        return reports

    async def worked(self, jobs: int, *workers: Child) -> list[dict[str, Any]]:
        """Once that many jobs have ended in these workers, whichever ran which, end the workers, too."""
        self.wall_s = await all_ended(workers, jobs) - max(worker.said["ready"] for worker in workers)
        reports = await self.ended("worker", *workers)
        self.moments = [moment for report in reports for moment in report["moments"]]
        return reports

    def paid(self, cost: Cost) -> None:
        self.cpu_s |= cost.cpu_s
        self.commits, self.wal_bytes = cost.commits, cost.wal_bytes
        self.round_trips, self.commands = cost.round_trips, cost.commands


@dataclass(frozen=True, slots=True)
class Bench:
    settings: Settings
    gauges: Gauges
    jobs: int

    @asynccontextmanager
    async def metered(self, workload: str, jobs: int) -> AsyncIterator[Outcome]:
        outcome, before = Outcome(workload, jobs), await self.gauges.read()
        yield outcome
        outcome.paid(between(before, await self.gauges.read()))

    def worker(self, slots: int, *, sandbox_url: str | None = None, **more: Any) -> AbstractAsyncContextManager[Child]:
        """A worker process; `more` are keys of the settings' table `worker`."""
        table = self.settings.worker.model_copy(update={"max_jobs": slots, **more})
        return started("worker", self.settings.model_copy(update={"worker": table}), sandbox_url=sandbox_url)


async def drain(bench: Bench) -> Outcome:
    """Jobs that do nothing, submitted before the worker starts."""
    await _submitted(bench, tasks.bench_nothing)
    async with bench.metered("drain", bench.jobs) as outcome, bench.worker(_SLOTS) as worker:
        await outcome.worked(bench.jobs, worker)
    outcome.figures["jobs/s"] = bench.jobs / outcome.wall_s
    outcome.figures["worker us/job"] = outcome.cpu_s["worker"] / bench.jobs * 1e6
    return outcome


async def fanout(bench: Bench) -> Outcome:
    """Jobs that each wait for the sandbox, all at once."""
    with TemporaryDirectory(prefix="jobrunner-bench-") as directory:
        sandbox = started("sandbox", bench.settings, directory=directory, call_s=CALL_S)
        async with sandbox as slow:
            await _submitted(bench, tasks.bench_call)
            called = bench.worker(bench.jobs, sandbox_url=slow.said["url"])
            async with bench.metered("fanout", bench.jobs) as outcome, called as worker:
                await outcome.worked(bench.jobs, worker)
            await outcome.ended("sandbox", slow)
    outcome.figures[f"makespan s (ideal {CALL_S:g})"] = outcome.wall_s
    outcome.figures["most in flight"] = max(count for _, count in in_flight(outcome.moments))
    return outcome


async def latency(bench: Bench) -> Outcome:
    """From the submit's call to the function's first line, one job at a time and an idle worker."""
    submits = min(bench.jobs, _PICKUPS)
    asked = list[float]()
    async with (
        bench.metered("latency", submits) as outcome,
        opened(bench.settings) as runtime,
        bench.worker(_SLOTS) as worker,
    ):
        for number in range(submits):
            await asyncio.sleep(_PAUSE_S)
            asked.append(time.monotonic())
            await runtime.client.submit(tasks.bench_nothing, tasks.Numbered(number=number), _OPTIONS)
        await outcome.worked(submits, worker)
    waits_s = sorted(began - asked[number] for number, began, _ in outcome.moments)
    outcome.figures |= _percentiles(waits_s)
    return outcome


async def front(bench: Bench) -> Outcome:
    """POST /v1/jobs over 64 connections to one server process; no worker runs."""
    async with bench.metered("front", bench.jobs) as outcome, started("API", bench.settings) as api:
        taken = await _posted(api, bench.jobs, _CONNECTIONS)
        outcome.wall_s = taken.wall_s
        await outcome.ended("API", api)
    outcome.figures["accepted/s"] = bench.jobs / taken.wall_s
    outcome.figures |= _percentiles(sorted(taken.took_s))
    return outcome


async def submit(bench: Bench) -> Outcome:
    """From code: one after the other, 100 at once, and all at once."""
    begun, cpu_s = time.monotonic(), time.process_time()
    async with bench.metered("submit", min(bench.jobs, _SEQUENCE) + 2 * bench.jobs) as outcome:
        for name, at_once in (("in sequence", 1), (f"{_AT_ONCE} at once", _AT_ONCE), ("all at once", bench.jobs)):
            jobs = min(bench.jobs, _SEQUENCE) if at_once == 1 else bench.jobs
            outcome.figures[f"{name}/s"] = jobs / await _submitted(bench, tasks.bench_nothing, jobs, at_once)
    outcome.wall_s = time.monotonic() - begun
    outcome.cpu_s["submitter"] = time.process_time() - cpu_s
    return outcome


async def crowd(bench: Bench) -> Outcome:
    """Jobs of 20 ms on one queue, by more and more workers of ten slots; each worker has as many to run.

    The costs are those of most workers; all are counted from a worker's start to its end.
    """
    figures: dict[str, float] = {}
    for workers in _CROWDS:
        outcome = await _crowded(bench, workers)
        figures[f"jobs/s by {workers}"] = outcome.jobs / outcome.wall_s
        if workers in {_CROWDS[0], _CROWDS[-1]}:
            figures[f"Redis round trips/job by {workers}"] = outcome.round_trips / outcome.jobs
            figures[f"commits/job by {workers}"] = outcome.commits / outcome.jobs
    outcome.figures = figures
    return outcome


async def burst(bench: Bench) -> Outcome:
    """Submits over 500 HTTP connections, as fast as one server process takes them, while one worker runs them."""
    jobs = bench.jobs * _BURST
    async with (
        bench.metered("burst", jobs) as outcome,
        started("API", bench.settings) as api,
        bench.worker(_SLOTS, lease_s=_BURST_LEASE_S) as worker,
    ):
        taken, worked = await asyncio.gather(_posted(api, jobs, _BURST_CONNECTIONS), outcome.worked(jobs, worker))
        reports = [*worked, *await outcome.ended("API", api)]
    outcome.figures["accepted/s"] = jobs / taken.wall_s
    outcome.figures["shed"] = taken.shed
    outcome.figures |= {f"{process} MiB at most": peak for process, peak in outcome.peak_mib.items()}
    outcome.figures["loop late ms at most"] = max(report["loop_late_s"] for report in reports) * 1000
    outcome.figures["lease late"] = sum(report["lease_late"] for report in worked)
    return outcome


WORKLOADS: Mapping[str, Callable[[Bench], Awaitable[Outcome]]] = {
    "drain": drain,
    "fanout": fanout,
    "latency": latency,
    "front": front,
    "submit": submit,
    "crowd": crowd,
    "burst": burst,
}


def _percentiles(took_s: Sequence[float]) -> dict[str, float]:
    """Of sorted seconds."""
    return {"p50 ms": statistics.median(took_s) * 1000, "p99 ms": took_s[int(len(took_s) * 0.99) - 1] * 1000}


async def _submitted(bench: Bench, task: TaskSpec[Any, Any], jobs: int | None = None, at_once: int = 1000) -> float:
    """How long it took to submit them, in seconds."""
    numbers: Sequence[int] = range(bench.jobs if jobs is None else jobs)
    async with opened(bench.settings) as runtime:
        begun = time.monotonic()
        for start in range(0, len(numbers), at_once):
            some = numbers[start : start + at_once]
            made = (runtime.client.submit(task, tasks.Numbered(number=number), _OPTIONS) for number in some)
            await asyncio.gather(*made)
        return time.monotonic() - begun


async def _posted(api: Child, jobs: int, connections: int) -> Taken:
    body = orjson.dumps({"task": "bench_nothing", "params": {"number": 0}, "metadata": {"bench": True}})
    return await post(api.said["url"], "/v1/jobs", repeat(body, jobs), connections=connections)


async def _crowded(bench: Bench, workers: int) -> Outcome:
    jobs = max(1, bench.jobs // _CROWDS[-1]) * workers
    async with bench.metered("crowd", jobs) as outcome, AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(opened(bench.settings))
        starting = (stack.enter_async_context(bench.worker(_SLOTS_IN_CROWD)) for _ in range(workers))
        crew = await asyncio.gather(*starting)
        await runtime.client.submit_many(
            [(tasks.bench_pause, tasks.Numbered(number=number), _OPTIONS) for number in range(jobs)]
        )
        await outcome.worked(jobs, *crew)
    return outcome
