"""What a batch costs, counted: a regression shows here on any machine, however loaded; seconds are for the bench."""

import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from arq.connections import ArqRedis

from jobrunner.declare import SubmitOptions, TaskContext
from jobrunner.job import Job
from jobrunner.runtime import Runtime, opened
from jobrunner.settings import Settings
from jobrunner.settings.tables import Worker
from jobrunner.store.queries import _statements
from jobrunner.worker import wards
from jobrunner.worker.loop import IDLE_S, WorkerLoop
from jobrunner.worker.upkeep import Rescue
from tests.integration.worker.conftest import SOON_S, Play, act, ended, play, until
from tests.workers import at_work

JOBS = 100
JOB_BYTES = 24 * 1024
"""The most that Python may hold for one job in flight; the bound of the whole process is 48 KiB."""

WARDS_IDLE_S = wards.IDLE_S  # before the tests here hasten them
NAMES = {text: name for name, text in _statements().items()}
OF_JOBS = {"insert_jobs", "jobs_by_id_or_key", "claim", "look_up", "finish"}
ENVELOPE = {"BEGIN;", "COMMIT;"}


@pytest.fixture
def settings(database_url: str, redis_url: str, settings: Settings) -> Settings:
    """Slots enough for all jobs at once."""
    return settings.model_copy(update={"worker": Worker(drain_s=0.3, max_jobs=10 * JOBS)})


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    async with opened(settings) as runtime:
        yield runtime


class Statements:
    """What went to Postgres, by the name in queries.sql; what has none there, by its text."""

    def __init__(self, *pools: Any) -> None:
        self.counts = Counter[str]()
        for pool in pools:
            pool._init = self._watch
            for holder in pool._holders:
                if holder._con is not None:
                    holder._con.add_query_logger(self._hear)

    async def _watch(self, connection: asyncpg.Connection) -> None:
        connection.add_query_logger(self._hear)

    def _hear(self, record: Any) -> None:
        """Not what asyncpg asks on each new connection."""
        if record.query in NAMES or record.query in ENVELOPE or record.query.startswith("SET LOCAL"):
            self.counts[NAMES.get(record.query, record.query)] += 1

    def of_jobs(self) -> dict[str, int]:
        """Without what upkeep asks."""
        return {name: count for name, count in self.counts.items() if name in OF_JOBS | ENVELOPE}


@pytest.fixture
def statements(runtime: Runtime) -> Statements:
    return Statements(runtime.store._db.pool, runtime.store._db.by_key.pool)


async def commands(redis: ArqRedis) -> Counter[str]:
    stats = await redis.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()})


async def submitted(runtime: Runtime, word: str) -> list[Job]:
    made = (runtime.client.submit(play, Play(act=word), SubmitOptions()) for _ in range(JOBS))
    jobs = await asyncio.gather(*made)
    await runtime.client.telling.drain()
    await runtime.notices.changes.drain()
    return jobs


async def nothing(ctx: TaskContext) -> None:
    pass


async def test_a_hundred_submits_are_one_statement_and_one_push(
    runtime: Runtime, statements: Statements, redis: ArqRedis
) -> None:
    await submitted(runtime, act(nothing))  # loads the scripts
    statements.counts.clear()
    before = await commands(redis)
    await submitted(runtime, act(nothing))
    assert statements.of_jobs() == {"insert_jobs": 1}
    made = await commands(redis) - before
    assert made["evalsha"] == len(["push", "append"])
    assert made["zadd"] == made["xadd"] == JOBS


async def test_a_hundred_jobs_are_one_claim_and_one_finish(
    runtime: Runtime, statements: Statements, redis: ArqRedis
) -> None:
    jobs = await submitted(runtime, act(nothing))
    statements.counts.clear()
    before = await commands(redis)

    async def told() -> bool:
        return (await commands(redis) - before)["publish"] > 0

    async with at_work(WorkerLoop(runtime, guest=True), leaves_within_s=SOON_S) as worker:
        await until(told)
        assert worker._ends.counts["complete"] == JOBS
    assert statements.of_jobs() == {"claim": 1, "BEGIN;": 1, "finish": 1, "COMMIT;": 1}
    assert (await commands(redis) - before)["publish"] == 1
    assert (await ended(runtime, jobs[-1].id)).result == {"value": None}


async def test_a_job_in_flight_holds_little_memory(runtime: Runtime) -> None:
    started, release = Counter[str](), asyncio.Event()

    async def wait(ctx: TaskContext) -> None:
        started["jobs"] += 1
        await release.wait()

    word = act(wait)

    async def all_started() -> bool:
        return started["jobs"] == JOBS

    async with at_work(WorkerLoop(runtime, guest=True), leaves_within_s=SOON_S):
        tracemalloc.start()
        try:
            gc.collect()
            idle, _ = tracemalloc.get_traced_memory()
            jobs = await submitted(runtime, word)
            await until(all_started)
            gc.collect()
            busy, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (busy - idle) / JOBS < JOB_BYTES
        release.set()
        await ended(runtime, jobs[-1].id)


async def test_an_idle_worker_asks_less_than_one_thing_a_second(
    runtime: Runtime, statements: Statements, redis: ArqRedis
) -> None:
    worker = WorkerLoop(runtime)
    await worker._lease.take()
    await asyncio.gather(*(runtime.queue.depth() for _ in range(2)))  # connecting takes commands of its own
    sql, told = dict[str, float](), dict[str, float]()
    for service in worker._services():
        asked, commanded = [], []
        for _ in range(2):  # some do more in their first round, some in all others
            statements.counts.clear()
            before = await commands(redis)
            await (service.take_from() if isinstance(service, Rescue) else service.run_once())
            asked.append(statements.counts.total())
            commanded.append(_since(before, await commands(redis)))
        every_s = WARDS_IDLE_S if isinstance(service, wards.Wards) else service.every_s
        sql[service.name], told[service.name] = max(asked) / every_s, commanded[0] / every_s  # its turn comes once
    before = await commands(redis)
    assert not (await worker._claims.take(1))[0]
    told["claim"] = (_since(before, await commands(redis)) + 1) / IDLE_S  # and the command that it sleeps in
    assert sum(sql.values()) < 1, sql
    assert sum(told.values()) < 1, told


def _since(before: Counter[str], after: Counter[str]) -> int:
    return (after - before).total() - (after - before)["info"]
