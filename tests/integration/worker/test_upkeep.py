"""Whatever dies, is flushed or is written by others: every job still ends, and Redis comes to say the truth."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest
from arq.connections import ArqRedis
from pydantic import BaseModel, SecretStr, model_validator
from uuid_utils.compat import uuid7

from jobrunner import declare
from jobrunner.broker.telling import entry_of
from jobrunner.client import waiting
from jobrunner.declare import TaskContext, task
from jobrunner.errors import Unavailable
from jobrunner.job import Status
from jobrunner.runtime import Runtime, opened
from jobrunner.settings import Settings
from jobrunner.store.rows import NewJob
from jobrunner.worker import claims, upkeep
from jobrunner.worker.lease import Lease
from jobrunner.worker.loop import WorkerLoop
from tests.faults.proxy import Proxy
from tests.integration.worker.conftest import SOON_S, Heard, Play, Played, act, ended, play, until, working


class Broken(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def _break(cls, value: Any) -> Any:  # noqa: ARG003  # pydantic's signature
        raise KeyError("a bug in a params model")


@pytest.fixture
def brokenly(monkeypatch: pytest.MonkeyPatch) -> str:
    """A task whose params model breaks. It goes with the test: others try whatever is declared, and it would break."""
    monkeypatch.setattr(declare, "_registry", {**declare._registry})

    @task(module="image")
    async def play_brokenly(ctx: TaskContext, params: Broken) -> Played:
        return Played()

    return play_brokenly.name


QUEUE = "arq:queue"
HOLDS_MS = {"play": 1_800_000}


async def hello(ctx: TaskContext) -> str:
    return "hello"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconcile may repair rows of any age; in life it leaves those of the last seconds alone."""
    monkeypatch.setattr(upkeep, "_SETTLED_S", -1.0)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_AWAY_GRACE_S", 0.1)
    monkeypatch.setattr(claims, "BACKOFF_S", 0.05)
    monkeypatch.setattr(waiting, "_WATCH_S", 0.05)


async def zombie_with(runtime: Runtime, *ids: UUID, lease_s: float) -> UUID:
    """A worker that claimed these and died without a word."""
    zombie = uuid7()
    await runtime.store.leases.register(
        zombie, host="gone", pid=1, queue=QUEUE, version="0", max_jobs=9, lease_s=lease_s
    )
    await runtime.queue.claim(9, HOLDS_MS)
    await runtime.store.claim(zombie, queue=QUEUE, tasks=["play"], limit=9, ids=ids)
    return zombie


async def test_what_was_claimed_begins_though_the_rest_of_its_batch_cannot_be_looked_up(
    runtime: Runtime, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, other = await play.delay(act=act(hello)), await play.delay(act=act(hello))
    await database.execute("UPDATE jobrunner.jobs SET due_at = now() + interval '1 hour' WHERE id = $1", other.id)

    async def look_up(*_: Any) -> None:
        raise Unavailable("Postgres is gone")

    monkeypatch.setattr(runtime.store, "look_up", look_up)
    async with working(runtime):
        assert await job.result(SOON_S) == Played(value="hello")


# ---- workers that die --------------------------------------------------------------------------


async def test_a_killed_workers_job_is_rescued_and_completed(runtime: Runtime, heard: Heard) -> None:
    job = await play.delay(act=act(hello))
    await zombie_with(runtime, job.id, lease_s=0.2)
    assert (await runtime.client.get(job.id)).status is Status.IN_PROGRESS
    async with working(runtime):
        assert await job.result(SOON_S) == Played(value="hello")
    row = await ended(runtime, job.id)
    assert (row.fence, row.crashes, row.failures) == (2, 1, 0)
    assert (await heard.until("job.rescued")).fields["job_id"] == str(job.id)


async def test_a_worker_declared_dead_drops_its_jobs_and_comes_back_as_another(
    runtime: Runtime, worker: WorkerLoop, database: asyncpg.Connection, heard: Heard
) -> None:
    dropped = asyncio.Event()

    async def wait_once(ctx: TaskContext) -> int:
        if ctx.job.fence == 1:
            try:
                await asyncio.Event().wait()
            finally:
                dropped.set()
        return ctx.job.fence

    job = await play.delay(act=act(wait_once))
    await until(lambda: is_running(runtime, job.id))
    first = worker._lease.worker

    await bury(runtime, database, job.id)
    assert (await job.result(SOON_S)).value >= 2
    await heard.until("worker.declared_dead")
    async with asyncio.timeout(SOON_S):
        await dropped.wait()
    await until(lambda: is_another(worker, first))


async def test_an_attempt_that_ends_late_takes_no_file_of_the_next_one(
    runtime: Runtime, worker: WorkerLoop, database: asyncpg.Connection
) -> None:
    second_writes, spools = asyncio.Event(), dict[int, Path]()

    async def spool(ctx: TaskContext) -> bool:
        spools[ctx.job.fence] = directory = worker._tools.spool_of(ctx.job)
        (directory / "clip").touch()
        if ctx.job.fence == 1:
            try:
                await asyncio.Event().wait()
            finally:
                await second_writes.wait()
        second_writes.set()
        await until(lambda: asyncio.to_thread(lambda: not spools[1].exists()))
        return (directory / "clip").exists()

    job = await play.delay(act=act(spool))
    await until(lambda: is_running(runtime, job.id))
    await bury(runtime, database, job.id)
    assert (await job.result(SOON_S)).value is True


async def bury(runtime: Runtime, database: asyncpg.Connection, id: UUID) -> None:
    """Declare the worker dead that runs this job, and give the job to whoever comes next."""

    async def buried() -> bool:
        await database.execute("UPDATE jobrunner.workers SET lease_until = now() - interval '1 second'")
        await runtime.store.leases.rescue()
        return (await runtime.client.get(id)).crashes == 1

    await until(buried)
    runtime.client.telling.push_again([await runtime.client.get(id)])


async def is_another(worker: WorkerLoop, first: UUID) -> bool:
    return worker._lease.worker != first


async def is_running(runtime: Runtime, id: UUID) -> bool:
    return (await runtime.client.get(id)).status is Status.IN_PROGRESS


async def test_a_worker_whose_lease_is_over_claims_nothing_and_can_still_be_stopped(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = asyncio.Event()

    async def renewed(_: Lease) -> None:
        waits.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Lease, "lasts", False)
    monkeypatch.setattr(Lease, "valid", renewed)
    job = await play.delay(act=act(hello))
    async with working(runtime), asyncio.timeout(SOON_S):
        await waits.wait()
    assert (await runtime.client.get(job.id)).status is Status.PENDING


# ---- Redis loses its memory --------------------------------------------------------------------


@pytest.mark.usefixtures("settled")
async def test_jobs_that_redis_forgot_are_pushed_again(
    runtime: Runtime, worker: WorkerLoop, redis: ArqRedis, heard: Heard
) -> None:
    release = asyncio.Event()

    async def wait(ctx: TaskContext) -> None:
        await release.wait()

    held = await play.delay(act=act(wait))
    await until(lambda: is_running(runtime, held.id))
    later = [await runtime.store.insert([new_job()]) for _ in range(3)]  # their push was lost
    await redis.flushdb()
    assert [
        [(await ended(runtime, result[0].id)).status for result in each if isinstance(result, tuple)] for each in later
    ] == [[Status.COMPLETED]] * 3
    await until(lambda: redis.exists(f"arq:in-progress:{held.id}"))
    release.set()
    await held.result(SOON_S)
    assert (await ended(runtime, held.id)).fence == 1


@pytest.mark.usefixtures("settled")
async def test_a_crowd_is_pushed_again_page_by_page_and_no_transaction_waits_for_redis(
    runtime: Runtime, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_PAGE", 10)
    pages: list[int] = []
    scores = runtime.queue.scores

    async def watching(ids: Sequence[str]) -> list[float | None]:
        pages.append(len(ids))
        assert not await database.fetchval("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in trans%'")
        return await scores(ids)

    monkeypatch.setattr(runtime.queue, "scores", watching)
    await runtime.store.insert([new_job() for _ in range(35)])
    await upkeep.Reconcile(runtime.store, runtime.queue, HOLDS_MS, every_s=10).run_once()
    assert pages == [10, 10, 10, 5]
    assert await runtime.queue.depth() == 35


def new_job(**changes: Any) -> NewJob:
    params = Play(act=act(hello)).model_dump_json()
    values = {"id": uuid7(), "task": "play", "module": "image", "params": params, "queue": QUEUE, "retries": 0}
    return NewJob(**{**values, **changes})


@pytest.mark.usefixtures("settled")
async def test_an_id_held_for_a_worker_that_never_claimed_its_row_is_lowered_again(runtime: Runtime) -> None:
    job = await play.delay(act=act(hello))

    async def taken() -> bool:
        return str(job.id) in (await runtime.queue.claim(9, HOLDS_MS)).ids

    await until(taken)
    async with working(runtime):
        assert (await job.result(SOON_S)).value == "hello"


@pytest.mark.parametrize(
    "foreign",
    [str(uuid4()).encode(), b"no id", b"\xff\xfe", str(uuid4()).upper().encode()],
    ids=["an id of nobody", "no id", "no text", "capitals"],
)
async def test_ids_that_are_no_jobs_are_dropped_and_the_worker_goes_on(
    foreign: bytes, runtime: Runtime, worker: WorkerLoop, redis: ArqRedis
) -> None:
    await redis.zadd(QUEUE, {foreign: 1})
    job = await play.delay(act=act(hello))
    assert (await job.result(SOON_S)).value == "hello"
    await until(lambda: empty(redis))


async def empty(redis: ArqRedis) -> bool:
    return not await redis.exists(QUEUE)


async def test_a_task_that_is_not_here_is_left_to_a_worker_that_knows_it(
    runtime: Runtime, worker: WorkerLoop, redis: ArqRedis, heard: Heard
) -> None:
    [result] = await runtime.store.insert([new_job(task="elsewhere")])
    assert isinstance(result, tuple)
    await runtime.queue.push([entry_of(result[0])])
    event = await heard.until("task.not_here")
    assert (event.fields["task"], event.level) == ("elsewhere", logging.WARNING)
    job = await play.delay(act=act(hello))
    await job.result(SOON_S)
    assert (await runtime.client.get(result[0].id)).status is Status.PENDING


# ---- Redis is away -----------------------------------------------------------------------------


@pytest.fixture
async def on_the_line(settings: Settings, redis_url: str, line: Proxy) -> AsyncIterator[Runtime]:
    url = f"redis://127.0.0.1:{line.port}?{urlsplit(redis_url).query}"
    async with opened(settings.model_copy(update={"redis_url": SecretStr(url)})) as runtime:
        yield runtime


async def test_a_cancel_reaches_a_running_job_without_redis(on_the_line: Runtime, line: Proxy) -> None:
    async def wait(ctx: TaskContext) -> None:
        await asyncio.Event().wait()

    async with working(on_the_line):
        job = await play.delay(act=act(wait))
        await until(lambda: is_running(on_the_line, job.id))
        await line.cut()
        await on_the_line.client.cancel(job.id)
        assert (await ended(on_the_line, job.id)).status is Status.CANCELLED


@pytest.mark.usefixtures("settled")
async def test_a_job_taken_in_while_redis_was_away_runs_when_it_is_back(
    on_the_line: Runtime, line: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_AWAY_GRACE_S", SOON_S * 2)  # so that only Redis can bring it
    async with working(on_the_line):
        await line.cut()
        job = await play.delay(act=act(hello))
        line.mend()
        assert (await job.result(SOON_S)).value == "hello"


# ---- rows that an application inserted ---------------------------------------------------------


async def inserted(database: asyncpg.Connection, task: str, params: str) -> UUID:
    id = await database.fetchval("INSERT INTO jobrunner.jobs (task, params) VALUES ($1, $2) RETURNING id", task, params)
    assert isinstance(id, UUID)
    return id


async def test_a_row_that_an_application_inserts_is_a_submission(
    brokenly: str, runtime: Runtime, database: asyncpg.Connection
) -> None:
    good = await inserted(database, "play", Play(act=act(hello), user_id="ann").model_dump_json())
    bad = await inserted(database, "play", '{"act": 7}')
    broken = await inserted(database, brokenly, "{}")
    unknown = await inserted(database, "no such task", "{}")
    await database.execute("UPDATE jobrunner.jobs SET created_at = now() - interval '1 hour' WHERE id = $1", unknown)
    another_s = await inserted(database, "another worker's task", "{}")
    async with working(runtime):
        rows = [await ended(runtime, each) for each in (good, bad, broken, unknown)]
    assert [(row.status, (row.error or {}).get("code")) for row in rows] == [
        (Status.COMPLETED, None),
        (Status.FAILED, "invalid_params"),
        (Status.FAILED, "invalid_params"),
        (Status.FAILED, "unknown_task"),
    ]
    assert (await runtime.client.get(another_s)).status is Status.PENDING
    assert (rows[0].module, rows[0].retries, rows[0].user_id) == ("image", play.retries, "ann")
