"""What happened, counted by the minute: written by whoever saw it, added up by whoever asks.

Durations are kept as how many there were of about so long: such counts can be added up over processes and minutes,
and a median of them is true to a tenth.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import asyncpg
import orjson

from jobrunner.store.database import Database
from jobrunner.store.rows import columns

Kind = Literal["task", "provider"]

HOUR_MINUTES = 60
"""How far back is asked."""

_STEPS = 4
"""Into which each doubling of a duration is divided."""

_SHORTEST_S = 0.001


@dataclass(slots=True)
class Tally:
    """What was counted under one name: how often by word, amounts by unit, and how often it took about so long."""

    counts: Counter[str] = field(default_factory=Counter)
    spent: dict[str, Decimal] = field(default_factory=dict)
    seconds: Counter[int] = field(default_factory=Counter)

    def took(self, seconds: float) -> None:
        self.seconds[round(_STEPS * math.log2(max(seconds, _SHORTEST_S)))] += 1

    def paid(self, amount: Decimal, unit: str) -> None:
        self.spent[unit] = self.spent.get(unit, Decimal()) + amount

    def add(self, other: "Tally") -> None:
        for word, times in other.counts.items():
            self.counts[word] += times
        for step, times in other.seconds.items():
            self.seconds[step] += times
        for unit, amount in other.spent.items():
            self.paid(amount, unit)

    @property
    def median_s(self) -> float | None:
        middle = self.seconds.total() / 2
        for step, times in sorted(self.seconds.items()):
            middle -= times
            if middle <= 0:
                return _seconds_of(step)
        return None

    @property
    def mean_s(self) -> float | None:
        times = self.seconds.total()
        return sum(_seconds_of(step) * each for step, each in self.seconds.items()) / times if times else None

    def columns(self) -> tuple[str, str, str]:
        """As the table has it."""
        seconds = {str(step): times for step, times in self.seconds.items()}
        spent = {unit: str(amount) for unit, amount in self.spent.items()}
        return _json(self.counts), _json(seconds), _json(spent)


def _seconds_of(step: int) -> float:
    return float(2 ** (step / _STEPS))


def _json(counted: dict[str, int] | dict[str, str]) -> str:
    return orjson.dumps(dict(counted)).decode()


def added(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for each in tallies:
        total.add(each)
    return total


@dataclass(frozen=True, slots=True)
class Written:
    """A minute as the process that counts wants it kept: what stands there by now."""

    minute: datetime
    kind: Kind
    name: str
    tally: Tally


Hour = Mapping[tuple[Kind, str], Mapping[int, Tally]]
"""What was counted in the last hour, by kind and name, and by how many minutes ago it was: 0 is the one under way."""


class Minutes:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def save(self, process: UUID, minutes: Sequence[Written]) -> None:
        """Raises Unavailable; done twice it is done once."""
        rows = columns((each.minute, each.kind, each.name, *each.tally.columns()) for each in minutes)
        await self._db.rows("save_minutes", process, *rows)

    async def last_hour(self) -> Hour:
        """What all processes counted. Raises Unavailable."""
        return _hour(await self._db.rows("last_hour", HOUR_MINUTES))

    async def last_hour_of(self, user_id: str) -> Hour:
        """How the jobs of one user ended, from their rows: nobody counts by user. Raises Unavailable."""
        return _hour(await self._db.rows("last_hour_of_user", HOUR_MINUTES, user_id, _STEPS, _SHORTEST_S))


def _hour(rows: Iterable[asyncpg.Record]) -> Hour:
    """Thousands of rows, while the event loop waits."""
    hour: dict[tuple[Kind, str], dict[int, Tally]] = {}
    for ago, kind, name, column, key, total in rows:
        tally = hour.setdefault((kind, name), {}).setdefault(ago, Tally())
        if column == "counts":
            tally.counts[key] = int(total)
        elif column == "seconds":
            tally.seconds[int(key)] = int(total)
        else:
            tally.spent[key] = Decimal(total)
    return hour
