"""What the two commits cost that stand between a submit and its start, on a connection that is ours alone.

Paced as the harness' submits are that it measures pickup with: a Postgres that slept is slower than one that is busy.
"""

import asyncio
import random
import statistics
import time
from datetime import UTC, datetime
from typing import Any

import asyncpg
from uuid_utils.compat import uuid7

from jobrunner.store.queries import query
from jobrunner.store.reaching import sessions
from jobrunner.store.rows import NewJob, columns
from tests.bench.verdicts import CLAIM, COMMIT, SUBMIT

_QUEUE, _TASK = "commits", "nothing"
_TIMES = 200
_WARM = 20


async def commits(database_url: str) -> list[dict[str, Any]]:
    """Lines for `results.jsonl`: the median of the smallest commit that there is, of a submit's, and of a claim's."""
    place: dict[str, Any] = {"dsn": database_url}
    connection = await asyncpg.connect(**place, **(await sessions(place, timeout_s=5)).by_key)
    took_s: dict[str, list[float]] = {COMMIT: [], SUBMIT: [], CLAIM: []}
    try:
        await connection.execute("CREATE TABLE public.commits (number integer)")
        worker = (uuid7(), "here", 1, _QUEUE, "", 1, 3600.0, [_TASK])
        await connection.fetch(query("register_worker"), *worker)
        for _ in range(_TIMES + _WARM):
            job = NewJob(uuid7(), _TASK, "bench", "{}", _QUEUE, 0)
            took_s[COMMIT].append(await _paced_s(connection, "INSERT INTO public.commits VALUES ($1)", 1))
            took_s[SUBMIT].append(await _paced_s(connection, query("insert_jobs"), *columns([job])))
            took_s[CLAIM].append(await _paced_s(connection, query("claim"), worker[0], _QUEUE, [_TASK], [job.id], 0))
        await connection.fetch(query("forget_jobs"), _QUEUE, datetime.fromtimestamp(0, UTC))
        await connection.fetch(query("forget_workers"), _QUEUE)
        await connection.execute("DROP TABLE public.commits")
    finally:
        await connection.close()
    return [
        {"workload": "limit", "name": name, "p50_ms": statistics.median(each[_WARM:]) * 1000}
        for name, each in took_s.items()
    ]


async def _paced_s(connection: asyncpg.Connection, statement: str, *values: Any) -> float:
    await asyncio.sleep(random.uniform(0.020, 0.050))  # noqa: S311  # nobody guesses it
    begun = time.perf_counter()
    await connection.fetch(statement, *values)
    return time.perf_counter() - begun
