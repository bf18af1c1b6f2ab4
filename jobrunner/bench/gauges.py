"""What a workload cost: CPU of the servers, commits and WAL of Postgres, commands of Redis, read before and after."""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobrunner.broker.gauges import RedisGauges
from jobrunner.store.gauges import PostgresGauges, PostgresReading

_SETTLE_S, _LOOK_S = 2.0, 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """`cpu_s` by process; a server on another machine is not in it. Commands inside Redis' scripts count."""

    cpu_s: Mapping[str, float]
    commits: int
    wal_bytes: int
    commands: int
    round_trips: int


class Gauges:
    """Both servers count for all who use them: on a server that others use, so do theirs."""

    def __init__(self, postgres: PostgresGauges, redis: RedisGauges) -> None:
        self._postgres = postgres
        self._redis = redis
        self._connections: int | None = None

    async def read(self) -> Cost:
        """Since the servers' own beginning. Raises Unavailable."""
        postgres, redis = await self._settled(), await self._redis.read()
        cpu_s = {"Redis": redis.cpu_s}
        if (own := _postgres_cpu_s(postgres.backend_pid)) is not None:
            cpu_s["Postgres"] = own
        return Cost(cpu_s, postgres.commits, postgres.wal_bytes, redis.commands, redis.round_trips)

    async def _settled(self) -> PostgresReading:
        """Once no more connections are open than at first: a backend tells what it did when it ends."""
        until = time.monotonic() + _SETTLE_S
        while True:
            reading = await self._postgres.read()
            if self._connections is None:
                self._connections = reading.connections
            if reading.connections <= self._connections or time.monotonic() > until:
                return reading
            await asyncio.sleep(_LOOK_S)


def between(before: Cost, after: Cost) -> Cost:
    return Cost(
        {name: value - before.cpu_s[name] for name, value in after.cpu_s.items() if name in before.cpu_s},
        after.commits - before.commits,
        after.wal_bytes - before.wal_bytes,
        after.commands - before.commands,
        after.round_trips - before.round_trips,
    )


def _postgres_cpu_s(backend_pid: int) -> float | None:
    """Of the whole server, whose backends are children of one process; None where it is not on this machine."""
    try:
        if b"postgres" not in Path(f"/proc/{backend_pid}/cmdline").read_bytes():
            return None
        postmaster = _stat(backend_pid)[1]
        alive = [_stat(int(each.name)) for each in Path("/proc").iterdir() if each.name.isdigit()]
    except OSError:
        return None
    own = sum(sum(each[11:13]) for each in alive if each[1] == postmaster)
    return (own + sum(_stat(postmaster)[11:15])) / _TICKS


def _stat(pid: int) -> list[int]:
    """proc(5)'s stat without the command's name: [1] is the parent, [11:15] CPU of itself and of ended children."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return [0] * 15
    return [0, *(int(each) for each in fields[1:])]
