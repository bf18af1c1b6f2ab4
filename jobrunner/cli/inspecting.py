"""`inspect`: what Redis holds beside what Postgres says, and where they disagree."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from jobrunner.cli.opening import opened_client
from jobrunner.cli.process import Signals, data_dir_option, json_option, run
from jobrunner.cli.showing import console, to_json
from jobrunner.client.comparing import MEANINGS, Comparison, Disagreement, Kind, compare
from jobrunner.redaction import escaped

_SHOWN = 5


@click.command()
@json_option
@data_dir_option
def inspect(as_json: bool, data_dir: Path | None) -> None:
    """Show the queue as Redis holds it beside its truth in Postgres, and what disagrees.

    Postgres decides. What Redis lacks, or holds in vain, a worker mends by itself; the list says who and when.
    """

    async def program(_signals: Signals) -> None:
        async with opened_client(data_dir) as client:
            found = await compare(client.store, client.queue)
        if as_json:
            print(to_json(_json(found)))
        else:
            out = console()
            out.print(_table(found))
            out.print(*_lines(found), sep="\n")

    run(program)


def _json(found: Comparison) -> dict[str, Any]:
    """Times of Redis are Unix times in ms, as they stand there."""
    return {
        "queue": found.queue,
        "workers": found.workers,
        "redis": found.redis,
        "postgres": found.postgres,
        "elsewhere": found.elsewhere,
        "disagreements": [{**_fields(each), "meaning": MEANINGS[each.kind]} for each in found.disagreements],
    }


def _fields(each: Disagreement) -> dict[str, Any]:
    row = each.row
    return {
        "id": escaped(each.id),
        "kind": each.kind,
        "task": row and row.task,
        "status": row and row.status,
        "due_at": row and row.due_at,
        "due_ms": each.due_ms,
    }


def _table(found: Comparison) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(found.queue)
    for server in ("Redis", "Postgres"):
        table.add_column(server, justify="right")
    for name in ("due", "later", "running"):
        table.add_row(name, f"{getattr(found.redis, name):,}", f"{getattr(found.postgres, name):,}")
    if found.postgres.strange:
        table.add_row("inserted by an application, not looked at yet", "", f"{found.postgres.strange:,}")
    return table


def _lines(found: Comparison) -> Iterator[str]:
    start = "" if found.workers else "; start `jobrunner worker`"
    yield f"\nWorkers alive on {found.queue}: {found.workers}{start}"
    for name, backlog in sorted(found.elsewhere.items()):
        yield (
            f"On queue {escaped(name)}: {backlog.due:,} due, {backlog.later:,} later, {backlog.running:,} running; "
            "the setting worker.queue says which one is compared"
        )
    if not found.disagreements:
        yield "Redis and Postgres agree."
    by_kind: defaultdict[Kind, list[Disagreement]] = defaultdict(list)
    for each in found.disagreements:
        by_kind[each.kind].append(each)
    for kind, group in by_kind.items():
        yield f"\n{len(group):,} {kind}: {MEANINGS[kind]}"
        yield from (f"  {escaped(each.id)}  {each.row.task if each.row else ''}".rstrip() for each in group[:_SHOWN])
        if len(group) > _SHOWN:
            yield f"  and {len(group) - _SHOWN:,} more: --json lists all"
