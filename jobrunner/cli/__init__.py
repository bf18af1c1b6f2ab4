"""The command line. A command's module, and all that it imports, is loaded when that command runs."""

import importlib
import signal
import sys
from pathlib import Path
from typing import Any

import click

from jobrunner.errors import ConfigError, JobrunnerError

COMMANDS = {
    "up": ("serving", "Everything in one process: servers, sandbox, API and worker."),
    "services": ("local", "The embedded Postgres, Redis server and sandbox alone."),
    "serve": ("serving", "The API alone."),
    "worker": ("working", "A worker alone; the same as `arq jobrunner.worker.WorkerSettings`."),
    "sandbox": ("local", "The providers' stand-in alone."),
    "migrate": ("migrating", "Bring the database to this version's schema."),
    "bench": ("benching", "Measure how fast this machine runs jobs, and what limits it."),
    "demo": ("demonstrating", "Draw a short story's cast and scenes, all at once."),
    "submit": ("submitting", "Submit a job: TASK key=value ..."),
    "jobs": ("looking", "List jobs, the newest first."),
    "show": ("looking", "Show one job with its steps and files."),
    "inspect": ("inspecting", "The queue in Redis beside its truth in Postgres."),
    "doctor": ("checkup", "What is wrong with this installation, and what to do."),
    "logs": ("looking", "Show what a job's task logged; --follow until the job has ended."),
    "cancel": ("acting", "Cancel a pending or running job."),
    "retry": ("acting", "Run a failed or cancelled job again."),
    "keys": ("keys", "Make a key for the API."),
    "mint": ("minting", "Deploy the contract that NFTs are minted with."),
    "webhooks": ("acting", "`webhooks replay ID`: tell a job's webhooks again how it ended."),
}
"""Every command: the module it lives in, and what the list of commands says about it."""

SIGNALLED = 128
"""What a shell adds to a signal's number for the exit code of a program that it ended."""


class Failure(click.ClickException):
    """What went wrong, in its own words on stderr."""

    def __init__(self, error: JobrunnerError) -> None:
        super().__init__(str(error))


class Misconfigured(Failure):
    exit_code = 2


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"jobrunner.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise Misconfigured(error) from error
        except JobrunnerError as error:
            raise Failure(error) from error
        except KeyboardInterrupt:
            ctx.exit(SIGNALLED + signal.SIGINT)


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="jobrunner")
def main() -> None:
    """Run slow, paid media-generation calls as jobs.

    Start with `jobrunner up` (or `jobrunner demo`); it needs no servers and no keys. Settings come from
    settings.toml and from JOBRUNNER_* environment variables.
    """
    sys.path.append(str(Path.cwd()))  # a task module of the user's own lies here; arq's command line does the same
