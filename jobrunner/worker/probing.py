"""The port of a worker's own, where there is one: its probes and its figures."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from jobrunner.events import emit, subscribe
from jobrunner.observe.probes import answering, verdict
from jobrunner.runtime import Runtime
from jobrunner.worker.loop import WorkerLoop

if TYPE_CHECKING:
    from jobrunner.observe.metrics import Metrics


@asynccontextmanager
async def probing(worker: WorkerLoop, runtime: Runtime) -> AsyncIterator[str | None]:
    """Answer while the block runs; yields the URL, None where no port is set. Raises ConfigError."""
    settings = runtime.settings.worker
    if settings.probe_port is None:
        yield None
        return
    from jobrunner.observe.metrics import Metrics  # noqa: PLC0415  # 3 MB that a worker without a port need not have

    metrics = Metrics(runtime.store)
    measure(worker, metrics)
    answers = {
        "/livez": lambda: verdict(worker.pulse().live()),
        "/readyz": lambda: verdict(worker.pulse().ready()),
        "/startupz": lambda: verdict(worker.pulse().begun()),
        "/metrics": metrics.answer,
    }
    with subscribe(metrics):
        async with answering(settings.probe_host, settings.probe_port, answers) as url:
            emit("worker.probed_at", url=url)
            yield url


def measure(worker: WorkerLoop, metrics: "Metrics") -> None:
    """Add what only a worker can tell to its process's figures."""
    metrics.asked("in_flight", "Jobs that run.", lambda: worker.pulse().in_flight)
    metrics.asked("slots", "How many may run.", lambda: worker.pulse().slots)
    metrics.asked("stuck", "Slots held by functions that do not end.", lambda: worker.pulse().stuck)
    metrics.asked("lease_age_seconds", "How long ago the lease was renewed.", lambda: worker.pulse().lease_age_s)
