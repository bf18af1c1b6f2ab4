"""What a commit of this Postgres costs, paced as the harness' submits are that it measures pickup with."""

import asyncio
import random
import statistics
import time
from typing import Any

import asyncpg

from tests.bench.verdicts import COMMIT, PACED_COMMIT

_TIMES = 200
_WARM = 20


async def commits(database_url: str) -> list[dict[str, Any]]:
    """Lines for `results.jsonl`: the median of one small INSERT, a transaction of its own, on one warm connection."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("CREATE TABLE public.commits (number integer)")
        for number in range(_WARM):
            await _commit_s(connection, number)
        in_sequence = [await _commit_s(connection, number) for number in range(_TIMES)]
        paced = list[float]()
        for number in range(_TIMES):
            await asyncio.sleep(random.uniform(0.020, 0.050))  # noqa: S311  # nobody guesses it
            paced.append(await _commit_s(connection, number))
        await connection.execute("DROP TABLE public.commits")
    finally:
        await connection.close()
    return [_line(COMMIT, in_sequence), _line(PACED_COMMIT, paced)]


def _line(name: str, took_s: list[float]) -> dict[str, Any]:
    median_s = statistics.median(took_s)
    return {"workload": "limit", "name": name, "p50_ms": median_s * 1000, "per_s": 1 / median_s}


async def _commit_s(connection: asyncpg.Connection, number: int) -> float:
    begun = time.perf_counter()
    await connection.execute("INSERT INTO public.commits VALUES ($1)", number)
    return time.perf_counter() - begun
