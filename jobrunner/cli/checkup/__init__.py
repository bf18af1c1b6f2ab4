"""`doctor`: everything that jobrunner stands on, a line each: ok, or what to do."""

import asyncio
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from jobrunner.api.guard.door import refuse_strangers
from jobrunner.cli.checkup.machine import machine, versions
from jobrunner.cli.checkup.providers import providers
from jobrunner.cli.checkup.servers import clocks, postgres, redis
from jobrunner.cli.checkup.workers import judge_workers
from jobrunner.cli.process import Signals, data_dir_option, json_option, run, settings_of
from jobrunner.cli.showing import console, to_json
from jobrunner.errors import ConfigError, DeclarationError, Unavailable
from jobrunner.observe import observing
from jobrunner.observe.probes import Check, Checks
from jobrunner.redaction import escaped, keep_secret, redacted
from jobrunner.runtime import Runtime, load_tasks, opened, resolve, sandboxed
from jobrunner.settings import Settings
from jobrunner.settings.secrets import secrets_in


@click.command()
@json_option
@data_dir_option
def doctor(as_json: bool, data_dir: Path | None) -> None:
    """Examine settings, servers, disks, ffmpeg and the providers' keys: each line says ok, or what to do.

    It buys nothing. Exits with 1 where something is wrong.
    """

    async def program(_signals: Signals) -> Checks:
        with observing("CRITICAL"):
            return await examined(data_dir)

    checks = run(program)
    well = all(check.ok for check in checks.values())
    if as_json:
        print(to_json({"ok": well, "checks": {name: _json(check) for name, check in checks.items()}}))
    else:
        console().print(_table(checks))
    if not well:
        raise click.exceptions.Exit(1)


async def examined(data_dir: Path | None) -> Checks:
    """What is found, by what was looked at. Raises nothing that a check stands for."""
    found: dict[str, Check] = {"versions": versions()}
    try:
        said = settings_of(data_dir)
        keep_secret(secrets_in(said))
        settings = resolve(said)
        refuse_strangers(settings)
        tasks = load_tasks(settings)
    except (ConfigError, DeclarationError) as error:
        return {**found, "settings": Check(ok=False, detail=str(error))}
    found["settings"] = Check(ok=True, detail=f"{len(tasks)} tasks, data in {settings.directory}")
    return {**found, **await _servers(settings), **await machine(settings), **await _inside(said, settings)}


async def _servers(settings: Settings) -> Checks:
    assert settings.database_url is not None  # noqa: S101  # resolved
    assert settings.redis_url is not None  # noqa: S101
    (of_postgres, postgres_clock), (of_redis, redis_clock) = await asyncio.gather(
        postgres(settings.database_url.get_secret_value(), settings.database_pool_size),
        redis(settings.redis_url.get_secret_value(), settings.worker.queue),
    )
    return {**of_postgres, **of_redis, **clocks(postgres_clock, redis_clock)}


async def _inside(said: Settings, settings: Settings) -> Checks:
    """What takes a runtime, which takes Postgres: where that is away, its own line says so."""
    try:
        async with opened(settings) as runtime:
            return {**await _workers(runtime), **await _providers(runtime, said)}
    except ConfigError as error:
        return {"settings": Check(ok=False, detail=str(error))}
    except Unavailable:
        return {"providers": Check(ok=False, detail="not asked: that takes Postgres, so mend it first")}


async def _workers(runtime: Runtime) -> Checks:
    settings = runtime.settings
    standing = await runtime.store.overview.of_all()
    return {
        "workers": judge_workers(
            standing.workers,
            queue=settings.worker.queue,
            version=version("jobrunner"),
            tasks=runtime.client.tasks,
            shared=settings.artifacts.url is not None,
        )
    }


async def _providers(runtime: Runtime, said: Settings) -> Checks:
    keyless = sandboxed(said)
    stands_in = keyless != sandboxed(runtime.settings)
    return await providers(runtime.drivers, runtime.settings.routes, keyless=keyless, sandbox=stands_in)


def _json(check: Check) -> dict[str, Any]:
    return {"ok": check.ok, "detail": _shown(check)}


def _table(checks: Checks) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, check in checks.items():
        table.add_row(name, Text("ok", "green") if check.ok else Text("wrong", "red"), Text(_shown(check)))
    return table


def _shown(check: Check) -> str:
    return escaped(redacted(check.detail))
