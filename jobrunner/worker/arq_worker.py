"""The arq seam: arq's command line runs our worker.

arq 0.28's `create_worker` looks `Worker` up in `arq.worker` when it runs, and reads its signature for the settings it
accepts. So our subclass takes that name's place, keeps the signature, and replaces what happens behind it: the stock
worker polls, claims one by one, and dies of a Redis error. Nothing else of arq is touched.
"""

import asyncio
import signal
from contextlib import AsyncExitStack
from functools import cache
from typing import Any

import arq.worker
import click
import uvloop
from arq.version import VERSION

from jobrunner.broker.connection import arq_settings
from jobrunner.broker.queue import deserialize, serialize
from jobrunner.declare import TaskSpec
from jobrunner.errors import ConfigError, JobrunnerError
from jobrunner.observe import collect_rarely, observing, watched
from jobrunner.runtime import load_tasks, opened, resolve
from jobrunner.settings import Settings, load
from jobrunner.worker.health import health_check_key
from jobrunner.worker.loop import WorkerLoop
from jobrunner.worker.probing import probing

KNOWN_ARQ = "0.28.0"


class Worker(arq.worker.Worker):
    """arq's worker in name and signature; WorkerLoop in deed."""

    _inner: WorkerLoop | None = None

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, on uvloop. Raises click.ClickException, which arq's command line prints."""
        self.loop.close()  # arq made one in passing
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self.main())
        except JobrunnerError as error:
            raise click.ClickException(str(error)) from error

    async def main(self) -> None:
        async with AsyncExitStack() as stack:
            settings = resolve(load())
            stack.enter_context(observing(settings.log_level))
            await stack.enter_async_context(watched(settings.worker.watchdog_s))
            runtime = await stack.enter_async_context(opened(settings))
            self._inner = WorkerLoop(runtime, burst=self.burst)
            await stack.enter_async_context(probing(self._inner, runtime))
            collect_rarely()
            await run_until_signalled(self._inner)

    def handle_sig(self, signum: signal.Signals) -> None:  # noqa: ARG002  # arq's signature
        """What arq's `--watch` calls before it starts us anew."""
        if self._inner is not None:
            self._inner.stop()

    async def close(self) -> None:
        """Wait for the drain; `main` closes what it opened."""
        if self.main_task is not None:
            await asyncio.wait([self.main_task])


async def run_until_signalled(worker: WorkerLoop) -> None:
    """SIGTERM or SIGINT drains; a second one skips the waiting."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    try:
        await worker.run()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def run_worker(*, burst: bool) -> None:
    """`jobrunner worker`: what arq's command line would do. Raises click.ClickException."""
    arq.worker.run_worker(worker_settings(), burst=burst)


@cache
def worker_settings() -> type:
    """What `arq jobrunner.worker.WorkerSettings` reads. Raises click.ClickException for wrong settings."""
    try:
        return _make_settings(resolve(load()))
    except JobrunnerError as error:
        raise click.ClickException(str(error)) from error


def _make_settings(settings: Settings) -> type:
    if VERSION != KNOWN_ARQ:
        raise ConfigError(f"This jobrunner works with arq {KNOWN_ARQ}, and {VERSION} is installed: reinstall it.")
    if settings.redis_url is None:
        raise ConfigError("redis_url is not set.")
    arq.worker.Worker = Worker  # type: ignore[misc]  # the one place: see the module's docstring
    values: dict[str, Any] = {
        "functions": [_arq_function(spec) for spec in load_tasks(settings).values()],
        "redis_settings": arq_settings(settings.redis_url.get_secret_value()),
        "queue_name": settings.worker.queue,
        "health_check_key": health_check_key(settings.worker.queue),
        "max_jobs": settings.worker.max_jobs,
        "handle_signals": False,
        "job_serializer": serialize,
        "job_deserializer": deserialize,
    }
    return type("WorkerSettings", (), values)


def _arq_function(spec: TaskSpec[Any, Any]) -> arq.worker.Function:
    """The task as arq's tools list it; only our worker runs it."""

    async def run(_ctx: dict[Any, Any], _job_id: str) -> None:
        raise ConfigError(f"{spec.name} runs in jobrunner's own worker: `arq jobrunner.worker.WorkerSettings`.")

    return arq.worker.func(run, name=spec.name, timeout=spec.timeout)  # type: ignore[arg-type]
