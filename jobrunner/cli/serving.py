"""`up` and `serve`: the API, with or without everything it needs."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from jobrunner.api import serving
from jobrunner.cli.process import Signals, data_dir_option, json_option, run, settings_of
from jobrunner.cli.showing import console, to_json
from jobrunner.cli.standin import greet, standing_in
from jobrunner.observe import collect_rarely, observing, watched
from jobrunner.observe.metrics import Metrics
from jobrunner.runtime import opened, resolve
from jobrunner.settings import Settings
from jobrunner.worker.loop import WorkerLoop
from jobrunner.worker.probing import measure, probing

host_option = click.option("--host", help="Where the API listens, instead of the setting http.host.")
port_option = click.option("--port", type=click.IntRange(0, 65535), help="Instead of http.port; 0 takes a free one.")


@click.command()
@host_option
@port_option
@json_option
@data_dir_option
def up(host: str | None, port: int | None, as_json: bool, data_dir: Path | None) -> None:
    """Run everything in one process: embedded servers, sandbox, API and worker.

    Servers whose URL is set are used, not started; the sandbox serves the providers that have no API key.
    SIGTERM or Ctrl-C drains: what is short ends, the rest is handed back. A second one skips the waiting.
    """
    settings = _settings(data_dir, host, port)

    async def program(signals: Signals) -> None:
        async with AsyncExitStack() as stack:
            stack.enter_context(observing(settings.log_level))
            await stack.enter_async_context(watched(settings.worker.watchdog_s))
            standin = await stack.enter_async_context(standing_in(settings))
            runtime = await stack.enter_async_context(opened(standin.settings))
            worker, metrics = WorkerLoop(runtime), Metrics(runtime.store)
            measure(worker, metrics)
            api_url = await stack.enter_async_context(serving(runtime, metrics))
            await stack.enter_async_context(probing(worker, runtime))
            signals.ask(worker.stop)
            working = asyncio.create_task(worker.run(), name="worker")
            ready = asyncio.create_task(worker.ready.wait(), name="worker is ready")
            await asyncio.wait([working, ready], return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                collect_rarely()
                if standin.servers is not None:
                    standin.servers.announce(sandbox_url=standin.sandbox_url, api_url=api_url)
                greet(standin, api_url, as_json=as_json)
            ready.cancel()
            await working
            signals.cut_off()

    run(program)


@click.command()
@host_option
@port_option
@json_option
@data_dir_option
def serve(host: str | None, port: int | None, as_json: bool, data_dir: Path | None) -> None:
    """Run the API alone; workers and servers run elsewhere."""
    settings = _settings(data_dir, host, port)

    async def program(signals: Signals) -> None:
        async with AsyncExitStack() as stack:
            stack.enter_context(observing(settings.log_level))
            await stack.enter_async_context(watched(settings.worker.watchdog_s))
            runtime = await stack.enter_async_context(opened(resolve(settings)))
            api_url = await stack.enter_async_context(serving(runtime))
            collect_rarely()
            if as_json:
                print(to_json({"event": "ready", "api": api_url}), flush=True)
            else:
                console().print(f"The API is at {api_url}. Ctrl-C stops it.")
            await signals.wait()

    run(program)


def _settings(data_dir: Path | None, host: str | None, port: int | None) -> Settings:
    http: dict[str, Any] = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    return settings_of(data_dir, **({"http": http} if http else {}))
