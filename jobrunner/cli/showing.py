"""How jobs look: as JSON for machines, as tables for people."""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobrunner.api.shapes import last_answer, webhooks_json
from jobrunner.job import Job, Status, job_json
from jobrunner.redaction import escaped
from jobrunner.shown import LogLine
from jobrunner.store.deliveries import Disabled
from jobrunner.store.rows import Step
from jobrunner.work import Artifact, Level

COLOURS = {
    Status.PENDING: "yellow",
    Status.IN_PROGRESS: "cyan",
    Status.COMPLETED: "green",
    Status.FAILED: "red",
    Status.CANCELLED: "magenta",
}
LEVELS: Mapping[Level, str] = {"debug": "dim", "info": "", "warning": "yellow", "error": "red"}
_NOTE_CHARS = 80
_PIPED_WIDTH = 200


def to_json(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()  # str: asyncpg's UUID is a subclass, which orjson refuses


def console() -> Console:
    """On stdout; into a pipe, lines are as long as they need to be. No markup: anybody's words are printed."""
    return Console(markup=False, highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPED_WIDTH)


def print_job(job: Job, artifacts: Sequence[Artifact] = (), *, as_json: bool) -> None:
    """One line; JSON is as the API has it."""
    if as_json:
        print(to_json(job_json(job, artifacts)))
    else:
        console().print(f"{job.id}  {job.task}  ", status_of(job), f"  {note_of(job)}", sep="")


def jobs_table(jobs: Sequence[Job]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "task", "status", "created", "took", "user", ""):
        table.add_column(name, no_wrap=True)
    for job in jobs:
        created = f"{job.created_at:%m-%d %H:%M:%S}"
        note = Text(note_of(job)[:_NOTE_CHARS])
        table.add_row(str(job.id), Text(job.task), status_of(job), created, took(job), Text(job.user_id or ""), note)
    return table


def print_deliveries(deliveries: Sequence[Job], *, as_json: bool) -> None:
    if as_json:
        print(to_json(webhooks_json(deliveries, ())))
    else:
        console().print("\n".join(map(_delivery_line, deliveries)) or "Nothing to send: it is being sent already.")


def job_table(
    job: Job,
    why: str | None,
    steps: Sequence[Step],
    artifacts: Sequence[Artifact],
    told: tuple[Sequence[Job], Sequence[Disabled]],
) -> Table:
    """`told`: the deliveries to its webhooks, and those that nothing is sent to any more."""
    deliveries, disabled = told
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows: list[tuple[str, Any]] = [
        ("id", str(job.id)),
        ("task", job.task),
        ("status", status_of(job)),
        ("why", why),
        ("user", job.user_id),
        ("record", job.record_id),
        ("params", to_json(job.params)),
        ("attempts", f"{job.fence} ({job.failures} failed of {job.retries + 1}, {job.crashes} crashed)"),
        ("progress", None if job.progress is None else f"{job.progress:.0%} {job.progress_note or ''}"),
        ("created", _when(job.created_at)),
        ("started", _when(job.started_at)),
        ("ended", _when(job.completed_at)),
        ("took", took(job)),
        ("result", None if job.result is None else to_json(job.result)),
        *(("error", _error_line(error)) for error in job.errors),
        *(("step", f"{step.name}: {step.state}{_remote(step)}") for step in steps),
        *(("file", f"{each.key} ({each.mime}, {each.size_bytes:,} bytes)") for each in artifacts),
        *(("webhook", _delivery_line(each)) for each in deliveries),
        *(("webhook", f"{each.url}: nothing is sent there since {_when(each.disabled_at)}") for each in disabled),
    ]
    for name, value in rows:
        if value:
            table.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    return table


def status_of(job: Job) -> Text:
    return Text(job.status.value, style=COLOURS[job.status])


def note_of(job: Job) -> str:
    """What matters most about it now."""
    if job.error is not None and job.status is not Status.COMPLETED:
        return _error_line(job.error)
    return job.result_url or job.progress_note or ""


def took(job: Job) -> str:
    if job.started_at is None or job.completed_at is None:
        return ""
    return f"{(job.completed_at - job.started_at).total_seconds():.1f} s"


def line_text(line: LogLine) -> Text:
    """When, in which attempt, how bad, and what."""
    more = "".join(
        f"  {name}={value if isinstance(value, str) else to_json(value)}" for name, value in line.fields.items()
    )
    head = f"{line.at:%Y-%m-%d %H:%M:%S.%f}"[:-3]
    return Text.assemble(
        (f"{head} #{line.attempt} ", "dim"),
        (f"{line.level:<8}", LEVELS[line.level]),
        escaped(line.message),
        (escaped(more), "dim"),
    )


def _error_line(error: Any) -> str:
    return f"{error.get('code')}: {error.get('message')}"


def _delivery_line(delivery: Job) -> str:
    return f"{delivery.params['url']}: {delivery.status} {last_answer(delivery) or ''}".rstrip()


def _remote(step: Step) -> str:
    return "" if step.handle is None else f" ({step.handle.provider} {step.handle.id})"


def _when(time: datetime | None) -> str | None:
    return None if time is None else f"{time:%Y-%m-%d %H:%M:%S} UTC"
