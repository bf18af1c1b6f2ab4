"""jobrunner beside its peers: `python -m tests.bench.against_peers [--reps N] [--part PART] [--readme]`.

Runs their harness with ours, N times over (20 min each), and prints what must be reached and whether it
was; ends with 1 where it was not. Any other arguments are the harness' own: it runs once with them, jobrunner beside
the peers, and nothing is judged.

The harness brings Redis; Postgres is an embedded one of this run's own, fsync on. PEERS names the harness' folder,
`../shared/bench/peers` beside this repository unless set. Results are appended where the harness keeps its own.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from jobrunner import embedded
from jobrunner.store.migrate import migrate
from tests.bench import big_table, verdicts
from tests.bench.commits import commits
from tests.conftest import ROOT

HARNESS = Path(os.environ.get("PEERS", ROOT.parent / "shared" / "bench" / "peers")) / "bench.py"
RESULTS = Path(os.environ.get("PEERS_DIR", Path(tempfile.gettempdir()) / "peers")) / "results.jsonl"
SLOW_SERVER = f"http://127.0.0.1:{int(os.environ.get('PEERS_HTTP_PORT', '6480')) + 1}/"
"""The harness' second one, which answers after 10 s."""

PEERS = ("arq tuned", "taskiq list", "taskiq stream", "SAQ", "huey greenlet", "celery prefork 2")
QUICK = ("taskiq list", "taskiq stream", "huey greenlet")
"""Whose pickups come near to the fastest."""

APP = Path(__file__).with_name("jobrunner_app.py")
PATHS = os.pathsep.join(map(str, (APP.parent, HARNESS.parent / "adapters", ROOT)))
FRONT = f"""
[[front]]
name = "{verdicts.US}"
command = ["env", "PYTHONPATH={PATHS}", "{sys.executable}", "{APP}", "front", "{{port}}"]
"""
README = ROOT / "README.md"
TABLE = re.compile(r"(?<=<!-- against peers -->\n).*(?=<!-- end -->)", re.DOTALL)


def contender(name: str, *, many: str = "batch", calls: int = 1000, variant: str = "default", **env: str) -> str:
    """A table of the harness' contenders file; `calls` in its workload io."""
    environment = ", ".join(f'{key} = "{value}"' for key, value in {"PYTHONPATH": PATHS, **env}.items())
    return f"""
[[contender]]
name = "{name}"
python = "{sys.executable}"
adapter = "{APP}"
worker = ["{{python}}", "{{adapter}}", "worker"]
variant = "{variant}"
env = {{ {environment} }}
conc = {{ idle = 500, io = {calls} }}
many = "{many}"
io_n = {calls}
io_big = {5000 if name == verdicts.US else 0}
"""


@dataclass(frozen=True, slots=True)
class Repetition:
    """One of each thing that the verdicts ask for; which is done in parts, since contenders cannot choose workloads."""

    folder: Path
    environment: Mapping[str, str]
    database_url: str
    big_url: str

    async def peers(self) -> None:
        contenders = contender(verdicts.US) + FRONT
        parts = ("setup", "limits", "queues", "fronts")
        await self.harness(contenders, *parts, "--reps", "1", only=(*PEERS, verdicts.US))

    async def pickups(self) -> None:
        """Again and in turn: fractions of a millisecond, and the machine changes under them by more."""
        pickup = ("queues", "--workloads", "latency", "--reps", "2")
        await self.harness(contender(verdicts.US), *pickup, only=(*QUICK, verdicts.US))

    async def fronts(self) -> None:
        """Again and in turn: servers that fill a core feel whatever else the machine does."""
        await self.harness(FRONT, "fronts", "--reps", "2")

    async def slow_calls(self) -> None:
        slow = contender(verdicts.SLOW_CALLS, calls=5000, BENCH_HTTP=SLOW_SERVER)
        await self.harness(slow, "queues", "--workloads", "io", "--reps", "1", only=[verdicts.US])

    async def big_table(self) -> None:
        """In turn with the empty table, and again: the machine changes by a tenth from drain to drain."""
        empty = contender(verdicts.AT_ONCE, many="gather")
        big = contender(
            verdicts.BIG_TABLE, many="gather", variant=big_table.VARIANT, JOBRUNNER_DATABASE_URL=self.big_url
        )
        for workload, reps in (("drain", "7"), ("latency", "3")):
            await self.harness(empty + big, "queues", "--workloads", workload, "--reps", reps, only=[verdicts.US])

    async def harness(self, contenders: str, *arguments: str, only: Iterable[str] = ()) -> None:
        """Run it to its end, for contenders whose names start with one of `only`. Raises SystemExit where it failed."""
        file = self.folder / "contenders.toml"
        file.write_text(contenders)
        chosen = [word for name in only for word in ("--only", name)]
        command = (sys.executable, str(HARNESS), "--with", str(file), *arguments, *chosen)
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **self.environment})
        if code := await process.wait():
            raise SystemExit(f"{HARNESS} ended with {code}; see above.")


PARTS: Mapping[str, Callable[[Repetition], Awaitable[None]]] = {
    "peers": Repetition.peers,
    "pickups": Repetition.pickups,
    "fronts": Repetition.fronts,
    "slow-calls": Repetition.slow_calls,
    "big-table": Repetition.big_table,
}


def kept() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def keep(lines: Iterable[Mapping[str, Any]]) -> None:
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


async def judged(repetition: Repetition, reps: int, parts: Iterable[str], *, readme: bool) -> bool:
    """Whether all was reached every time."""
    before = kept()
    first = 1 + max((line["rep"] for line in before), default=-1)
    table, reached = "", False
    for rep in range(first, first + reps):
        earlier = kept()
        for part in parts:
            keep([*kept(), *({**line, "rep": rep} for line in await commits(repetition.database_url))])
            await PARTS[part](repetition)
        # The harness counts from 0 in every call.
        keep([*earlier, *({**line, "rep": rep} for line in kept()[len(earlier) :])])
        lines = kept()[len(before) :]
        found = verdicts.judged(lines)
        table, reached = verdicts.table(lines, found), all(each.met == rep - first + 1 for each in found)
        sys.stdout.write(f"\n{table}\n")
    if readme:
        README.write_text(TABLE.sub(lambda _: table, README.read_text()))
    return reached


async def run(folder: Path, options: argparse.Namespace, arguments: list[str]) -> int:
    async with embedded.running(folder / "data") as servers:
        await migrate(servers.database_url)
        parts = [] if arguments else options.part or list(PARTS)
        big_url = await big_table.filled(servers.database_url) if "big-table" in parts else ""
        environment = {
            "PYTHONPATH": str(ROOT),
            "JOBRUNNER_DATABASE_URL": servers.database_url,
            "JOBRUNNER_DATA_DIR": str(folder / "data"),
        }
        repetition = Repetition(folder, environment, servers.database_url, big_url)
        if arguments:
            contenders = contender(verdicts.US) + contender(verdicts.AT_ONCE, many="gather") + FRONT
            await repetition.harness(contenders, *arguments, "--reps", str(options.reps))
            return 0
        return 0 if await judged(repetition, options.reps, parts, readme=options.readme) else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; again for more")
    parser.add_argument("--readme", action="store_true", help="also write the table into README.md")
    options, arguments = parser.parse_known_args()
    if not HARNESS.exists():
        sys.exit(f"There is no {HARNESS}: set PEERS to the folder of the peers' harness.")
    with tempfile.TemporaryDirectory(prefix="jobrunner-bench-") as folder:
        sys.exit(uvloop.run(run(Path(folder), options, arguments)))


if __name__ == "__main__":
    main()
