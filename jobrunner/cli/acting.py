"""`cancel`, `retry` and `webhooks replay`: a person's decisions about one job."""

from pathlib import Path
from uuid import UUID

import click

from jobrunner.cli.opening import opened_client
from jobrunner.cli.process import Signals, data_dir_option, json_option, run
from jobrunner.cli.showing import print_deliveries, print_job


@click.command()
@click.argument("id", type=click.UUID)
@json_option
@data_dir_option
def cancel(id: UUID, as_json: bool, data_dir: Path | None) -> None:
    """Cancel a pending job at once; ask a running one to end."""

    async def program(_signals: Signals) -> None:
        async with opened_client(data_dir) as client:
            print_job(await client.cancel(id), as_json=as_json)

    run(program)


@click.command()
@click.argument("id", type=click.UUID)
@json_option
@data_dir_option
def retry(id: UUID, as_json: bool, data_dir: Path | None) -> None:
    """Run a failed or cancelled job again."""

    async def program(_signals: Signals) -> None:
        async with opened_client(data_dir) as client:
            print_job(await client.retry(id), as_json=as_json)

    run(program)


@click.group()
def webhooks() -> None:
    """What a job's webhooks were told is in `jobrunner show`."""


@webhooks.command()
@click.argument("id", type=click.UUID)
@json_option
@data_dir_option
def replay(id: UUID, as_json: bool, data_dir: Path | None) -> None:
    """Tell a job's webhooks again how it ended, now; also those that had said 410 Gone."""

    async def program(_signals: Signals) -> None:
        async with opened_client(data_dir) as client:
            print_deliveries(await client.replay(id), as_json=as_json)

    run(program)
