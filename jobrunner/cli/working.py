"""`worker`: runs jobs until it is told to stop."""

import click

from jobrunner.worker.arq_worker import run_worker


@click.command()
@click.option("--burst", is_flag=True, help="End when nothing is due.")
def worker(burst: bool) -> None:
    """Run jobs; the same as `arq jobrunner.worker.WorkerSettings`.

    SIGTERM or Ctrl-C drains: what is short ends, the rest is handed back. A second one skips the waiting.
    """
    run_worker(burst=burst)
