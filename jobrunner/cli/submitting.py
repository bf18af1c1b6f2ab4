"""`submit`: one job from the command line."""

import types
import typing
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import click
import orjson
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from jobrunner.cli.opening import opened_client
from jobrunner.cli.process import Signals, data_dir_option, json_option, run
from jobrunner.cli.showing import print_job
from jobrunner.client import Client
from jobrunner.declare import SubmitOptions
from jobrunner.job import Job, Status

_LOOK_S = 0.5


@click.command()
@click.argument("task")
@click.argument("params", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--wait", is_flag=True, help="Wait for the job's end; exit with 1 unless it completed.")
@click.option("--record-id", help="The application's row that this job fills.")
@click.option("--idempotency-key", help="The same key and request again answer the same job.")
@click.option("--delay-s", type=click.FloatRange(min=0), help="Seconds from now before it may run.")
@json_option
@data_dir_option
def submit(
    *,
    task: str,
    params: tuple[str, ...],
    wait: bool,
    record_id: str | None,
    idempotency_key: str | None,
    delay_s: float | None,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Submit a job.

    A value is text where the task takes text, and JSON elsewhere:

    jobrunner submit generate_scene_image scene_description="A lighthouse" scene_number=1 user_id=u1 --wait
    """
    delay = None if delay_s is None else timedelta(seconds=delay_s)
    options = SubmitOptions(record_id=record_id, idempotency_key=idempotency_key, delay=delay)

    async def program(_signals: Signals) -> Job:
        async with opened_client(data_dir) as client:
            spec = client.task(task)
            job = await client.submit(spec, spec.validate(parse(params, spec.params)), options)
            job = await _ended(client, job) if wait else job
            print_job(job, await client.artifacts([job.id]), as_json=as_json)
            return job

    job = run(program)
    if wait and job.status is not Status.COMPLETED:
        raise click.exceptions.Exit(1)


def parse(words: Sequence[str], model: type[BaseModel]) -> dict[str, Any]:
    """KEY=VALUE words as params; what does not fit is left for the model to refuse. Raises click.BadParameter."""
    params: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{word!r} is not KEY=VALUE.")
        if key in params:
            raise click.BadParameter(f"{key} is given twice.")
        field = model.model_fields.get(key)
        params[key] = value if field is None or _takes_text(field.annotation) else _json_or_text(value)
    return params


def _takes_text(annotation: Any) -> bool:
    if annotation is str:
        return True
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _takes_text(inner[0])
    return origin in (typing.Union, types.UnionType) and any(map(_takes_text, inner))


def _json_or_text(value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


async def _ended(client: Client, job: Job) -> Job:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(job.task, total=None)
        while True:
            try:
                return await client.wait(job.id, _LOOK_S)
            except TimeoutError:
                progress.update(bar, **_look_of(await client.get(job.id)))


def _look_of(job: Job) -> Mapping[str, Any]:
    text = f"{job.task} {job.status} {job.progress_note or ''}".rstrip()
    return {"description": text, "completed": job.progress or 0.0, "total": 1.0 if job.progress else None}
