"""What jobrunner must reach beside the peers, and whether it did: pure functions of the lines of `results.jsonl`.

A line is what the harness keeps of one run, `{"workload", "name", "rep", figures...}`. Every bound is computed from
peers and limits of the same repetition: another minute on the same machine is another machine.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

US: Final = "jobrunner"
SLOW_CALLS: Final = f"{US}, calls of 10 s"
AT_ONCE: Final = f"{US}, 100 submits at once"
BIG_TABLE: Final = f"{US}, big table"
COMMIT: Final = "Postgres: the smallest commit, every 20-50 ms"
SUBMIT: Final = "Postgres: a submit's commit, every 20-50 ms"
CLAIM: Final = "Postgres: a claim's commit, every 20-50 ms"

BEST: Final = "the best of them"
_ARQ_FRONT = "FastAPI + arq enqueue_job"

Line = Mapping[str, Any]
Figure = Callable[["Repetition"], float]


class Repetition:
    """The lines of one repetition, or of several; of a figure that is there more than once the median counts."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = [line for line in lines if "error" not in line]

    def figure(self, workload: str, name: str, field: str) -> float:
        """Raises LookupError where it was not measured."""
        found: list[float | None] = [
            line.get(field) for line in self._lines if (line["workload"], line["name"]) == (workload, name)
        ]
        figures = [each for each in found if each is not None]
        if not figures:
            raise LookupError(f"{workload} of {name} has no {field}")
        return statistics.median(figures)

    def best(self, workload: str, field: str, *, highest: bool) -> tuple[float, str]:
        """Of the peers, and whose it is. Raises LookupError where none was measured."""
        mine = (line for line in self._lines if line["workload"] == workload and line.get(field) is not None)
        names = {line["name"] for line in mine if not line["name"].startswith(US)}
        figures = [(self.figure(workload, name, field), name) for name in names]
        if not figures:
            raise LookupError(f"no peer's {workload} has a {field}")
        return max(figures) if highest else min(figures)


@dataclass(frozen=True, slots=True)
class Of:
    """One field of one line, `scale` times."""

    workload: str
    name: str
    field: str
    scale: float = 1.0

    def __call__(self, repetition: Repetition) -> float:
        return self.scale * repetition.figure(self.workload, self.name, self.field)


@dataclass(frozen=True, slots=True)
class Row:
    """`reach` is at least to be reached where `highest`, else at most. `peer`: whose same figure stands beside ours."""

    what: str
    unit: str
    ours: Of
    reach: Figure
    highest: bool
    peer: str | None = None
    limit: Of | None = None

    def beside(self, every: Repetition) -> tuple[float, str] | None:
        """Raises LookupError where the peer was not measured."""
        workload, field = self.ours.workload, self.ours.field
        if self.peer is None:
            return None
        if self.peer == BEST:
            return every.best(workload, field, highest=self.highest)
        return every.figure(workload, self.peer, field), self.peer


def _gets(number: str, seconds: int, field: str = "makespan", scale: float = 1.0) -> Of:
    return Of("limit", f"plain aiohttp, {number} GETs of {seconds} s, uvloop", field, scale)


def _pickup_ms(repetition: Repetition) -> float:
    """As fast as the fastest peer, which writes nothing down, and the two commits of a submit and a claim."""
    peer_ms, _ = repetition.best("latency", "p50_ms", highest=False)
    return peer_ms + sum(repetition.figure("limit", name, "p50_ms") for name in (SUBMIT, CLAIM))


ROWS: Final = (
    Row(
        "5,000 empty jobs",
        "/s",
        Of("drain", US, "jobs_per_s"),
        lambda repetition: 2 * repetition.best("drain", "jobs_per_s", highest=True)[0],
        highest=True,
        peer=BEST,
        limit=Of("limit", "least queue: RPOP 100 + pipelined SETs, a task per job", "per_s"),
    ),
    Row(
        "1,000 calls of 1 s",
        " s",
        Of("io", US, "makespan"),
        _gets("1,000", 1, scale=1.15),
        highest=False,
        peer=BEST,
        limit=_gets("1,000", 1),
    ),
    Row(
        "5,000 calls of 1 s",
        " s",
        Of("io_big", US, "makespan"),
        _gets("5,000", 1, scale=1.25),
        highest=False,
        peer=BEST,
        limit=_gets("5,000", 1),
    ),
    Row(
        "5,000 calls of 10 s",
        " s",
        Of("io", SLOW_CALLS, "makespan"),
        _gets("5,000", 10, scale=1.15),
        highest=False,
        limit=_gets("5,000", 10),
    ),
    Row(
        "memory of each",
        " KiB",
        Of("io", SLOW_CALLS, "mib_per_in_flight", 1024),
        lambda _: 48,
        highest=False,
        limit=_gets("5,000", 10, "kib_per_connection"),
    ),
    Row(
        "pickup, p50",
        " ms",
        Of("latency", US, "p50_ms"),
        _pickup_ms,
        highest=False,
        peer=BEST,
        limit=Of("limit", COMMIT, "p50_ms", 2),
    ),
    Row(
        "pickup, p99",
        " ms",
        Of("latency", US, "p99_ms"),
        lambda repetition: 3 * _pickup_ms(repetition),
        highest=False,
        peer=BEST,
    ),
    Row(
        "idle: Redis commands",
        "/s",
        Of("idle", US, "commands_per_s"),
        lambda _: 1,
        highest=False,
        peer=BEST,
    ),
    Row(
        "idle: CPU",
        " %",
        Of("idle", US, "cpu_percent"),
        lambda _: 0.3,
        highest=False,
        peer=BEST,
    ),
    Row(
        "HTTP submits",
        "/s",
        Of("front", US, "ok_per_s"),
        Of("front", _ARQ_FRONT, "ok_per_s", 2),
        highest=True,
        peer=_ARQ_FRONT,
        limit=Of("front", "aiohttp, no queue", "ok_per_s"),
    ),
    Row(
        "HTTP submits, p99",
        " ms",
        Of("front", US, "p99_ms"),
        lambda _: 40,
        highest=False,
        peer=_ARQ_FRONT,
        limit=Of("front", "aiohttp, no queue", "p99_ms"),
    ),
    Row(
        "submits, one by one",
        "/s",
        Of("drain", US, "enqueue_seq"),
        lambda _: 1000,
        highest=True,
        peer=BEST,
        limit=Of("limit", "asyncio redis-py LPUSH 100 B, one at a time (enqueue limit)", "per_s"),
    ),
    Row(
        "submits, 100 at once",
        "/s",
        Of("drain", AT_ONCE, "enqueue_many"),
        lambda _: 8000,
        highest=True,
        peer=BEST,
    ),
    Row("submits, in bulk", "/s", Of("drain", US, "enqueue_many"), lambda _: 20_000, highest=True),
    # The big table's neighbour in the same call of the harness has the empty one.
    Row(
        "empty jobs, big table",
        "/s",
        Of("drain", BIG_TABLE, "jobs_per_s"),
        Of("drain", AT_ONCE, "jobs_per_s", 0.9),
        highest=True,
        limit=Of("drain", AT_ONCE, "jobs_per_s"),
    ),
    Row(
        "pickup, big table",
        " ms",
        Of("latency", BIG_TABLE, "p50_ms"),
        Of("latency", AT_ONCE, "p50_ms", 1.1),
        highest=False,
        limit=Of("latency", AT_ONCE, "p50_ms"),
    ),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`found`: our figure and its bound, of each repetition that has both."""

    row: Row
    found: Sequence[tuple[float, float]]

    @property
    def met(self) -> int:
        return sum(ours >= bound if self.row.highest else ours <= bound for ours, bound in self.found)


def judged(lines: Iterable[Line]) -> list[Verdict]:
    """`lines` of one repetition have the same `rep`."""
    by_rep = defaultdict[int, list[Line]](list)
    for line in lines:
        by_rep[line["rep"]].append(line)
    repetitions = [Repetition(each) for each in by_rep.values()]
    return [Verdict(row, [pair for each in repetitions for pair in _found(row, each)]) for row in ROWS]


def _found(row: Row, repetition: Repetition) -> list[tuple[float, float]]:
    try:
        return [(row.ours(repetition), row.reach(repetition))]
    except LookupError:
        return []


def table(lines: Sequence[Line], verdicts: Sequence[Verdict]) -> str:
    """Markdown. `lines`: of all the repetitions that were judged."""
    every = Repetition(lines)
    head = ["| | best peer | limit here | jobrunner | must reach | met |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *(_told(verdict, every) for verdict in verdicts), ""])


def _told(verdict: Verdict, every: Repetition) -> str:
    row = verdict.row
    peer, limit = _beside(row, every)
    if not verdict.found:
        return f"| {row.what} | {peer} | {limit} | | | not measured |"
    ours, bounds = ([pair[side] for pair in verdict.found] for side in (0, 1))
    sign = "≥" if row.highest else "≤"
    cells = (
        row.what,
        peer,
        limit,
        f"{_shown(statistics.median(ours), row.unit)} ({_shown(min(ours))}-{_shown(max(ours))})",
        f"{sign} {_shown(statistics.median(bounds), row.unit)}",
        f"{verdict.met} of {len(verdict.found)}",
    )
    return f"| {' | '.join(cells)} |"


def _beside(row: Row, every: Repetition) -> tuple[str, str]:
    """The cells of the best peer and of the machine's limit, empty where there is none."""
    peer = limit = ""
    with suppress(LookupError):
        limit = "" if row.limit is None else _shown(row.limit(every), row.unit)
    with suppress(LookupError):
        if (found := row.beside(every)) is not None:
            peer = f"{found[1]} {_shown(found[0], row.unit)}"
    return peer, limit


def _shown(value: float, unit: str = "") -> str:
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{decimals}f}{unit}"
