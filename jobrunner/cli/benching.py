"""`bench`: how fast this machine runs jobs, and what holds it back."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from jobrunner.bench.gauges import Gauges
from jobrunner.bench.places import found, guest, measured
from jobrunner.bench.plot import svg
from jobrunner.bench.workloads import WORKLOADS, Bench, Outcome
from jobrunner.cli.process import Signals, data_dir_option, json_option, run, settings_of
from jobrunner.cli.showing import console, to_json
from jobrunner.settings import Settings

_BATCHES = {"jobs.submitted": "submit", "jobs.claimed": "claim", "jobs.finished": "finish"}

_COLUMNS = ("workload", "jobs", "measured", "CPU", "Redis round trips/job", "commits/job", "WAL/job", "jobs a batch")


@click.command()
@click.option("--jobs", type=click.IntRange(1, 1_000_000), default=2000, show_default=True)
@click.option("--workload", type=click.Choice([*WORKLOADS, "all"]), default="all", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out/bench"), show_default=True)
@json_option
@data_dir_option
def bench(jobs: int, workload: str, out: Path, as_json: bool, data_dir: Path | None) -> None:
    """Measure this machine: throughput, latency, and what limits them.

    Uses the servers that are set, or run on the data directory, or starts embedded ones. The jobs of each workload have
    a queue of their own and go when it is over; a burst is 25 times --jobs. The sandbox is the slow API. In-flight
    plots (SVG) are left in the folder --out.
    """
    settings = settings_of(data_dir)
    chosen = list(WORKLOADS) if workload == "all" else [workload]

    async def program(_signals: Signals) -> list[Outcome]:
        async with found(settings) as servers:
            return [await _measured(name, guest(servers), jobs) for name in chosen]

    outcomes = run(program)
    plots = _plotted(outcomes, out)
    if as_json:
        print(to_json([_shown(each) for each in outcomes]))
        return
    console().print(_table(outcomes))
    for plot in plots:
        console().print(f"In flight over time: {plot}")


async def _measured(workload: str, settings: Settings, jobs: int) -> Outcome:
    async with measured(settings) as gauges:
        return await WORKLOADS[workload](Bench(settings, Gauges(*gauges), jobs))


def _shown(outcome: Outcome) -> dict[str, Any]:
    """Without each job's moments, which the plot shows."""
    return {name: value for name, value in asdict(outcome).items() if name != "moments"}


def _plotted(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Raises click.ClickException where the folder cannot be written."""
    plots = []
    try:
        for each in outcomes:
            if each.moments:
                folder.mkdir(parents=True, exist_ok=True)
                plots.append(folder / f"in-flight-{each.workload}.svg")
                plots[-1].write_text(svg(each.moments, f"{each.workload}, {each.jobs:,} jobs"), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"The plots cannot be kept in {folder}: {error.strerror}.") from error
    return plots


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, overflow="fold")
    for each in outcomes:
        figures = "\n".join(f"{name} {value:,.2f}" for name, value in each.figures.items())
        cpu = "\n".join(f"{name} {used / each.wall_s:.0%}" for name, used in each.cpu_s.items())
        batches = "\n".join(f"{_BATCHES[name]} {size:,.1f}" for name, size in each.batches.items())
        per_job = (f"{each.round_trips / each.jobs:.3f}", f"{each.commits / each.jobs:.3f}")
        table.add_row(
            each.workload, f"{each.jobs:,}", figures, cpu, *per_job, f"{each.wal_bytes / each.jobs:,.0f} B", batches
        )
    return table
