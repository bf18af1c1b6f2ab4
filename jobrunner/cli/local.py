"""`services` and `sandbox`: what stands in for servers and providers, on its own."""

from pathlib import Path

import click

from jobrunner.cli.process import Signals, data_dir_option, json_option, run, settings_of
from jobrunner.cli.showing import console, to_json
from jobrunner.cli.standin import greet, standing_in
from jobrunner.errors import ConfigError
from jobrunner.observe import observing
from jobrunner.sandbox import app


@click.command()
@json_option
@data_dir_option
def services(as_json: bool, data_dir: Path | None) -> None:
    """Run Postgres, a Redis server and the sandbox, for API and workers in other processes.

    Every command that uses the same data directory finds them by itself.
    """
    settings = settings_of(data_dir)
    if settings.database_url is not None and settings.redis_url is not None:
        raise ConfigError("database_url and redis_url are set, so there is no server to start. Unset one of them.")

    async def program(signals: Signals) -> None:
        with observing():
            async with standing_in(settings) as standin:
                if standin.servers is not None:
                    standin.servers.announce(sandbox_url=standin.sandbox_url)
                greet(standin, None, as_json=as_json)
                await signals.wait()

    run(program)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="0 takes a free one.")
@json_option
@data_dir_option
def sandbox(port: int, as_json: bool, data_dir: Path | None) -> None:
    """Run the providers' stand-in alone; point a provider's base_url at it."""
    directory = settings_of(data_dir).directory / "sandbox"

    async def program(signals: Signals) -> None:
        async with app.running(directory, port=port) as serving:
            if as_json:
                print(to_json({"event": "ready", "sandbox": serving.base_url}), flush=True)
            else:
                console().print(f"The sandbox is at {serving.base_url}; its state is in {directory}.")
            await signals.wait()

    run(program)
