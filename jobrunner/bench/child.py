"""A bench's process, `python -m jobrunner.bench.child`: told on stdin which part to play and with which settings.

It says on stdout when it is ready, and at its end what it counted; each in one line of JSON.
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
from jobrunner.observe import collect_rarely
from jobrunner.runtime import opened
from jobrunner.sandbox import app as sandbox
from jobrunner.sandbox.faults import Rule
from jobrunner.settings import Settings, load
from jobrunner.worker.loop import WorkerLoop

Order = Mapping[str, Any]
Report = dict[str, Any]


class Batches:
    """Hears the sizes of this process' batches, by the event that tells of them; `over` once `jobs` have ended."""

    def __init__(self, over: asyncio.Event, jobs: int | None = None) -> None:
        self.sizes = defaultdict[str, list[int]](list)
        self._over = over
        self._jobs = jobs

    def __call__(self, event: Event) -> None:
        if event.name in {"jobs.submitted", "jobs.claimed", "jobs.finished"}:
            self.sizes[event.name].append(event.fields["jobs"])
            if sum(self.sizes["jobs.finished"]) == self._jobs:
                self._over.set()


async def work(settings: Settings, order: Order, stopped: asyncio.Event) -> Report:
    """Run `jobs` jobs, and end."""
    batches = Batches(stopped, order["jobs"])
    with subscribe(batches):
        async with (
            opened(settings) as runtime,
            tasks.calling(runtime.net, order["sandbox_url"], order["jobs"]),
            asyncio.TaskGroup() as group,
        ):
            worker = WorkerLoop(runtime, guest=True)
            group.create_task(worker.run())
            await worker.ready.wait()
            _say(ready=time.monotonic())
            await stopped.wait()
            ended = time.monotonic()
            worker.stop()
    return {"ended": ended, "moments": tasks.moments, "batches": batches.sizes}


async def serve(settings: Settings, _order: Order, stopped: asyncio.Event) -> Report:
    batches = Batches(stopped)
    with subscribe(batches):
        async with opened(settings) as runtime, serving(runtime) as url:
            _say(ready=time.monotonic(), url=url)
            await stopped.wait()
    return {"batches": batches.sizes}


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
