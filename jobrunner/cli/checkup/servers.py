"""Postgres and Redis: whether they are there, are set up as jobrunner needs them, and agree on the time."""

import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from jobrunner.broker import checkup as redis_checkup
from jobrunner.broker.queue import Queue
from jobrunner.errors import ConfigError, Unavailable
from jobrunner.observe.probes import Check, Checks
from jobrunner.store import checkup as postgres_checkup
from jobrunner.store.checkup import Pooling

OLDEST_POSTGRES = 15
OLDEST_REDIS = (6, 2)
"""ZMSCORE came with it."""

APART_S = 2.0
"""How far two clocks may be apart: what is due by Postgres' is taken by Redis', and this machine's signs and logs."""

_FULL = 0.9

_POOLERS: dict[Pooling, Check] = {
    "none": Check(ok=True, detail="none: Postgres itself answers"),
    "session": Check(ok=True, detail="in session mode, which holds a server for each connection of ours"),
    "transaction": Check(ok=True, detail="in transaction mode"),
    "statement": Check(ok=False, detail="in statement mode, which has no transactions: set its mode to transaction"),
}


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a clock is ahead of this machine's, give or take `unsure_s`."""

    ahead_s: float
    unsure_s: float


async def offset(now: Callable[[], Awaitable[datetime]]) -> Offset:
    """Of three questions the one that was answered fastest tells best (Cristian's algorithm)."""
    best = Offset(0.0, math.inf)
    for _ in range(3):
        asked = datetime.now(UTC)
        theirs = await now()
        half = (datetime.now(UTC) - asked) / 2
        found = Offset((theirs - asked - half).total_seconds(), half.total_seconds())
        best = min(best, found, key=lambda each: each.unsure_s)
    return best


# ---- Postgres ----------------------------------------------------------------------------------


async def postgres(url: str, pool_size: int) -> tuple[Checks, Offset | None]:
    """No offset where it cannot be asked."""
    try:
        async with postgres_checkup.Checkup.opened(url) as checkup:
            facts, pooling = await checkup.facts(), await checkup.pooling()
            found = {
                "postgres": judge_postgres(facts, pooling, pool_size),
                "pooler": _POOLERS[pooling],
                "migrations": await _migrations(checkup),
            }
            return found, await offset(checkup.now)
    except (ConfigError, Unavailable) as error:
        return {"postgres": Check(ok=False, detail=str(error))}, None


async def _migrations(checkup: postgres_checkup.Checkup) -> Check:
    try:
        missing = await checkup.missing_migrations()
    except ConfigError as error:
        return Check(ok=False, detail=str(error))
    if missing:
        return Check(ok=False, detail=f"missing: {', '.join(missing)}; run `jobrunner migrate`")
    return Check(ok=True, detail="all applied")


def judge_postgres(facts: postgres_checkup.Facts, pooling: Pooling, pool_size: int) -> Check:
    return _summed(
        f"version {facts.major}, takes writes, keeps what it commits", _wrong_postgres(facts, pooling, pool_size)
    )


def _wrong_postgres(facts: postgres_checkup.Facts, pooling: Pooling, pool_size: int) -> Iterator[str]:
    if facts.major < OLDEST_POSTGRES:
        yield f"version {facts.major} is too old: use {OLDEST_POSTGRES} to 18"
    if facts.read_only:
        yield "takes no writes: it is a standby, or read-only by default; name the primary in database_url"
    if not facts.durable:
        yield "fsync or synchronous_commit is off, so a crash loses accepted jobs and buys again: switch both on"
    if facts.forbidden:
        yield f"its role may not read and write {', '.join(facts.forbidden)}: grant it, as the owner of the tables"
    if facts.free < pool_size and pooling not in {"transaction", "statement"}:
        yield (
            f"{facts.free} connections are left, and each process opens up to {pool_size} (database_pool_size): raise "
            "max_connections, or put a transaction-mode pooler in front"
        )


# ---- Redis -------------------------------------------------------------------------------------


async def redis(url: str, queue_name: str) -> tuple[Checks, Offset | None]:
    """No offset where it cannot be asked."""
    try:
        async with redis_checkup.Checkup.opened(url) as checkup:
            facts = await checkup.facts()
            found = {
                "redis": judge_redis(facts),
                "redis eviction": await _eviction(url, queue_name),
                "redis persistence": judge_persistence(facts),
            }
            return found, await offset(checkup.now)
    except (ConfigError, Unavailable) as error:
        return {"redis": Check(ok=False, detail=str(error))}, None


async def _eviction(url: str, queue_name: str) -> Check:
    """And whether it takes writes: one that is full answers questions all the same. Raises Unavailable."""
    queue = Queue(url, name=queue_name)
    try:
        await queue.check()
        await queue.epoch()
    except ConfigError as error:
        return Check(ok=False, detail=str(error))
    finally:
        await queue.aclose()
    return Check(ok=True, detail="maxmemory-policy noeviction")


def judge_redis(facts: redis_checkup.Facts) -> Check:
    return _summed(f"version {'.'.join(map(str, facts.version))}, takes writes", _wrong_redis(facts))


def _wrong_redis(facts: redis_checkup.Facts) -> Iterator[str]:
    if facts.version < OLDEST_REDIS:
        yield f"version {'.'.join(map(str, facts.version))} is too old: use {'.'.join(map(str, OLDEST_REDIS))} or later"
    if not facts.primary:
        yield "is a replica and takes no jobs: name the primary in redis_url"
    if facts.cluster:
        yield "is a cluster, which refuses scripts over several keys: use a server without cluster mode"
    if facts.full is not None and facts.full > _FULL:
        yield f"uses {facts.full:.0%} of its maxmemory, and takes no jobs once it is full: raise it"


def judge_persistence(facts: redis_checkup.Facts) -> Check:
    if not facts.saved:
        detail = "its last write to disk failed, after which it refuses jobs: look at its log and its disk"
        return Check(ok=False, detail=detail)
    if facts.appends:
        return Check(ok=True, detail="append-only file")
    kept = "snapshots: what came after the last one" if facts.snapshots else "none: what a restart forgets"
    return Check(ok=True, detail=f"{kept} is entered again from Postgres within a minute")


# ---- both --------------------------------------------------------------------------------------


def clocks(postgres: Offset | None, redis: Offset | None) -> Checks:
    """Nothing where one of the two could not be asked."""
    if postgres is None or redis is None:
        return {}
    between = Offset(redis.ahead_s - postgres.ahead_s, redis.unsure_s + postgres.unsure_s)
    apart = [*_apart("Postgres", "this machine", postgres), *_apart("Redis", "Postgres", between)]
    return {"clocks": _summed("this machine, Postgres and Redis agree on the time", apart)}


def _apart(one: str, other: str, by: Offset) -> Iterator[str]:
    if abs(by.ahead_s) - by.unsure_s > APART_S:
        how = "ahead of" if by.ahead_s > 0 else "behind"
        yield f"{one} is {abs(by.ahead_s):.1f} s {how} {other}: have both set their clocks by NTP"


def _summed(well: str, wrong: Iterator[str] | Sequence[str]) -> Check:
    found = list(wrong)
    return Check(ok=not found, detail="; ".join(found) or well)
