"""`jobs`, `show` and `logs`: what stands in the database."""

from pathlib import Path
from uuid import UUID

import click

from jobrunner.api.shapes import webhooks_json
from jobrunner.cli.opening import opened_client
from jobrunner.cli.process import Signals, data_dir_option, json_option, run
from jobrunner.cli.showing import console, job_table, jobs_table, line_text, to_json
from jobrunner.client.logs import logged
from jobrunner.client.showing import step_json
from jobrunner.job import Status, job_json
from jobrunner.store.rows import Filter


@click.command()
@click.option(
    "--status", multiple=True, type=click.Choice([status.value for status in Status]), help="Repeat it for several."
)
@click.option("--task", help="Only jobs of this task.")
@click.option("--module", help="Only jobs of this task module, e.g. image.")
@click.option("--user", help="Only jobs of this user_id.")
@click.option("--text", help="Only jobs with these words in params, error or record id, or an id that begins so.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@data_dir_option
def jobs(
    *,
    status: tuple[str, ...],
    task: str | None,
    module: str | None,
    user: str | None,
    text: str | None,
    limit: int,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """List jobs, the newest first. With --json: one array of jobs as the API shows them."""
    wanted = Filter(status=[*map(Status, status)], task=task, module=module, user_id=user, text=text, limit=limit)

    async def program(_signals: Signals) -> None:
        async with opened_client(data_dir) as client:
            found = await client.search(wanted)
            artifacts = await client.artifacts([job.id for job in found])
        if as_json:
            print(to_json([job_json(job, artifacts) for job in found]))
        elif found:
            console().print(jobs_table(found))
        else:
            console().print("No jobs.")

    run(program)


@click.command()
@click.argument("id", type=click.UUID)
@json_option
@data_dir_option
def show(id: UUID, as_json: bool, data_dir: Path | None) -> None:
    """Show one job with its steps and files."""

    async def program(_signals: Signals) -> None:
        async with opened_client(data_dir) as client:
            job = await client.get(id)
            steps = await client.steps(id)
            artifacts = await client.artifacts([id])
            told = await client.deliveries(job)
            why = await client.why(job)
        if as_json:
            more = {"steps": [step_json(step) for step in steps], "why": why, "webhooks": webhooks_json(*told)}
            print(to_json({**job_json(job, artifacts), **more}))
        else:
            console().print(job_table(job, why, steps, artifacts, told))

    run(program)


@click.command()
@click.argument("id", type=click.UUID)
@click.option("--follow", is_flag=True, help="Go on until the job has ended.")
@json_option
@data_dir_option
def logs(id: UUID, follow: bool, as_json: bool, data_dir: Path | None) -> None:
    """Show what a job's task logged, the oldest first. With --json: each line as the API shows it."""

    async def program(_signals: Signals) -> None:
        async with opened_client(data_dir) as client:
            async for line in logged(client, id, follow=follow):
                if as_json:
                    print(to_json(line.model_dump(mode="json")), flush=True)
                else:
                    console().print(line_text(line))

    run(program)
