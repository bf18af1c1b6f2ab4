"""What a bench does, one function a workload: each says how fast it was, and what that cost."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from jobrunner.bench import tasks
from jobrunner.bench.gauges import Cost, Gauges, between
from jobrunner.bench.load import post
from jobrunner.bench.plot import Moments, in_flight
from jobrunner.bench.processes import Child, started
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

    def heard(self, process: str, child: Child, report: Mapping[str, Any]) -> None:
        """What one of our processes counted since it was ready."""
        self.cpu_s[process] = report["cpu_s"] - child.said["cpu_s"]
        self.peak_mib[process] = report["peak_mib"]
        self.batches |= {name: statistics.mean(sizes) for name, sizes in report.get("batches", {}).items() if sizes}

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

    def with_slots(self, slots: int) -> Settings:
        return self.settings.model_copy(update={"worker": self.settings.worker.model_copy(update={"max_jobs": slots})})


async def drain(bench: Bench) -> Outcome:
    """Jobs that do nothing, submitted before the worker starts."""
    await _submitted(bench, tasks.bench_nothing)
    async with bench.metered("drain", bench.jobs) as outcome:
        await _worked(bench, outcome, _SLOTS, None)
    outcome.figures["jobs/s"] = bench.jobs / outcome.wall_s
    outcome.figures["worker us/job"] = outcome.cpu_s["worker"] / bench.jobs * 1e6
    return outcome


async def fanout(bench: Bench) -> Outcome:
    """Jobs that each wait for the sandbox, all at once."""
    with TemporaryDirectory(prefix="jobrunner-bench-") as directory:
        sandbox = started("sandbox", bench.settings, directory=directory, call_s=CALL_S)
        async with sandbox as slow:
            await _submitted(bench, tasks.bench_call)
            async with bench.metered("fanout", bench.jobs) as outcome:
                await _worked(bench, outcome, bench.jobs, slow.said["url"])
            outcome.heard("sandbox", slow, await slow.report())
    outcome.figures[f"makespan s (ideal {CALL_S:g})"] = outcome.wall_s
    outcome.figures["most in flight"] = max(count for _, count in in_flight(outcome.moments))
    return outcome


async def latency(bench: Bench) -> Outcome:
    """From the submit's call to the function's first line, one job at a time and an idle worker."""
    submits = min(bench.jobs, _PICKUPS)
    asked = list[float]()
    async with bench.metered("latency", submits) as outcome:
        worker = started("worker", bench.with_slots(_SLOTS), jobs=submits, sandbox_url=None)
        async with opened(bench.settings) as runtime, worker as child:
            for number in range(submits):
                await asyncio.sleep(_PAUSE_S)
                asked.append(time.monotonic())
                await runtime.client.submit(tasks.bench_nothing, tasks.Numbered(number=number), _OPTIONS)
            report = await child.report(stop=False)
    _read_worker(outcome, child, report)
    waits_s = sorted(began - asked[number] for number, began, _ in outcome.moments)
    outcome.figures |= _percentiles(waits_s)
    return outcome


async def front(bench: Bench) -> Outcome:
    """POST /v1/jobs over 64 connections to one server process; no worker runs."""
    body = orjson.dumps({"task": "bench_nothing", "params": {"number": 0}, "metadata": {"bench": True}})
    async with bench.metered("front", bench.jobs) as outcome, started("API", bench.settings) as child:
        begun = time.monotonic()
        took_s = sorted(await post(child.said["url"], "/v1/jobs", iter([body] * bench.jobs), connections=_CONNECTIONS))
        outcome.wall_s = time.monotonic() - begun
        outcome.heard("API", child, await child.report())
    outcome.figures["accepted/s"] = bench.jobs / outcome.wall_s
    outcome.figures |= _percentiles(took_s)
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


WORKLOADS: Mapping[str, Callable[[Bench], Awaitable[Outcome]]] = {
    "drain": drain,
    "fanout": fanout,
    "latency": latency,
    "front": front,
    "submit": submit,
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


async def _worked(bench: Bench, outcome: Outcome, slots: int, sandbox_url: str | None) -> None:
    """Let one worker run all that is pending, and end."""
    worker = started("worker", bench.with_slots(slots), jobs=bench.jobs, sandbox_url=sandbox_url)
    async with worker as child:
        report = await child.report(stop=False)
    _read_worker(outcome, child, report)


def _read_worker(outcome: Outcome, child: Child, report: Mapping[str, Any]) -> None:
    outcome.heard("worker", child, report)
    outcome.wall_s = report["ended"] - child.said["ready"]
    outcome.moments = report["moments"]
