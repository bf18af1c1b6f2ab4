"""A bench's process, `python -m jobrunner.bench.child`: told on stdin which part to play and with which settings.

It says on stdout when it is ready, a worker then how many jobs ended with each batch, and at its end what it counted;
each in one line of JSON.
"""

import asyncio
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import uvloop

from jobrunner.api import serving
from jobrunner.bench import tasks
from jobrunner.errors import JobrunnerError
from jobrunner.events import Event, subscribe
from jobrunner.observe import collect_rarely, watched
from jobrunner.runtime import opened
from jobrunner.sandbox import app as sandbox
from jobrunner.sandbox.faults import Rule
from jobrunner.settings import Settings, load
from jobrunner.worker.loop import WorkerLoop
from jobrunner.worker.pulse import Pulse

Order = Mapping[str, Any]
Report = dict[str, Any]


class Ears:
    """Hears this process' batches, by the event that tells of them, and how late its loop and its lease are."""

    def __init__(self, worker: WorkerLoop | None = None) -> None:
        self._worker = worker
        self._sizes = defaultdict[str, list[int]](list)
        self._loop_late_s = 0.0
        self._lease_late = 0

    def __call__(self, event: Event) -> None:
        match event.name:
            case "jobs.submitted" | "jobs.claimed":
                self._sizes[event.name].append(event.fields["jobs"])
            case "jobs.finished":
                self._sizes[event.name].append(event.fields["jobs"])
                _say(finished=event.fields["jobs"], at=time.monotonic())
            case "loop.beat":
                self._loop_late_s = max(self._loop_late_s, event.fields["late_s"])
                self._lease_late += self._worker is not None and _late(self._worker.pulse())

    def report(self) -> Report:
        """`lease_late`: at how many of the loop's beats, a few a second, the lease had run out."""
        return {"batches": self._sizes, "loop_late_s": self._loop_late_s, "lease_late": self._lease_late}


def _late(pulse: Pulse) -> bool:
    return pulse.lease_age_s > pulse.lease_s


async def work(settings: Settings, order: Order, stopped: asyncio.Event) -> Report:
    async with (
        opened(settings) as runtime,
        tasks.calling(runtime.net, order["sandbox_url"], settings.worker.max_jobs),
        asyncio.TaskGroup() as group,
    ):
        worker = WorkerLoop(runtime, guest=True)
        ears = Ears(worker)
        with subscribe(ears):
            group.create_task(worker.run())
            await worker.ready.wait()
            async with watched(settings.worker.watchdog_s):
                _say(ready=time.monotonic())
                await stopped.wait()
            worker.stop()
    return {"moments": tasks.moments, **ears.report()}


async def serve(settings: Settings, _order: Order, stopped: asyncio.Event) -> Report:
    ears = Ears()
    async with opened(settings) as runtime, serving(runtime) as url:
        with subscribe(ears):
            async with watched(settings.worker.watchdog_s):
                _say(ready=time.monotonic(), url=url)
                await stopped.wait()
    return ears.report()


async def stand_in(_settings: Settings, order: Order, stopped: asyncio.Event) -> Report:
    """The sandbox, slow: what `bench_call` asks for takes `call_s` seconds."""
    rule = Rule(provider="openai", on="list", latency_s=order["call_s"])
    async with sandbox.running(Path(order["directory"]), rules=[rule]) as serving:
        _say(ready=time.monotonic(), url=serving.base_url)
        await stopped.wait()
    return {}


PARTS: Mapping[str, Callable[[Settings, Order, asyncio.Event], Awaitable[Report]]] = {
    "worker": work,
    "API": serve,
    "sandbox": stand_in,
}


async def play(order: Order) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    collect_rarely()
    report = await PARTS[order["part"]](load(**order["settings"]), order, stopped)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _say(peak_mib=used.ru_maxrss / 1024, **report)


def _say(**said: Any) -> None:
    said["cpu_s"] = time.process_time()
    sys.stdout.write(f"{orjson.dumps(said).decode()}\n")
    sys.stdout.flush()


def main() -> None:
    order = orjson.loads(sys.stdin.buffer.read())
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(play(order))
    except JobrunnerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
