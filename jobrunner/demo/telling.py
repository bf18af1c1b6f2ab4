"""The account at the end: where the film is, whose it is, how it went, and what it cost or would have cost."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jobrunner.demo.api import Api
from jobrunner.demo.jobs import Job, most_at_once
from jobrunner.demo.prices import Item, bill
from jobrunner.demo.script import FILM, Film


@dataclass(frozen=True, slots=True)
class Account:
    """`memory` is the peak of the process that served, `total_s` from the first word to the server's end."""

    film: Film
    jobs: Sequence[Job]
    api: Api
    out: Path
    memory: str | None
    total_s: float


def tell(console: Console, account: Account) -> None:
    made, token = account.film.job["result"], account.film.token["result"]
    console.print(
        f"\n[bold]A film of {made['duration_s']:.1f} s[/] at {made['width']}x{made['height']} was made in "
        f"{account.total_s:.1f} s, start and end of the server included."
    )
    console.print(
        f"{len(account.jobs)} jobs; up to {most_at_once(account.jobs)} were in flight at once, in one process."
    )
    if account.memory is not None:
        console.print(f"That process, with API and worker, took {account.memory} at its peak.")
    _tell_cost(console, bill(account.jobs), sandboxed=account.api.sandboxed)
    console.print(f"\nToken {token['token_id']} of the contract {token['contract']} belongs to {token['owner']}.")
    _tell_where(console, account.out, account.api)


def _tell_cost(console: Console, items: Sequence[Item], *, sandboxed: bool) -> None:
    table = Table("bought from", "calls", "amount", "USD", box=None, pad_edge=False, header_style="bold")
    for item in items:
        usd = "no price known" if item.usd is None else f"{item.usd:.4f}"
        table.add_row(item.model, str(item.calls), f"{item.amount:,.0f} {item.unit}", usd)
    console.print()
    console.print(table)
    total = sum((item.usd or Decimal() for item in items), Decimal())
    if sandboxed:
        console.print(
            f"That would have cost {total:.2f} USD by the price lists: providers without an API key were played by the "
            "sandbox, and nothing was bought."
        )
    else:
        console.print(f"That cost {total:.2f} USD by the price lists.")


def _tell_where(console: Console, out: Path, api: Api) -> None:
    query = (
        "SELECT task, status, completed_at - started_at AS took, video_url "
        "FROM video_generations ORDER BY created_at DESC LIMIT 10"
    )
    before = "Run `jobrunner services` in another terminal, then:" if api.ours else "Then, as the server still runs:"
    lines = (
        f"\nWatch    {(out / FILM).resolve()}",
        f"Look at  {(out / 'index.html').resolve()}",
        before,
        "  jobrunner jobs",
        f"  psql {shlex.quote(api.database_url)} -c '{query}'",
    )
    console.print("\n".join(lines), markup=False)
