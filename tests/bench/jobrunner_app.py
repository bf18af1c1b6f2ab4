"""What the peers' harness runs of ours: `worker`, `front PORT` and `produce ...`, on its Redis and a Postgres of ours.

The harness empties Redis before every run and knows no Postgres: who finds Redis empty empties the tables too. Of a big
table only the jobs of the run before go, and Redis hears of the others that are pending, as it would have in life.
"""

import asyncio
import os
import sys
from collections.abc import Iterable
from typing import Any

import asyncpg
import common  # type: ignore[import-not-found]  # the harness', beside its own adapters
import uvloop
from aiohttp import web
from pydantic import BaseModel
from redis.asyncio import Redis

from jobrunner import JobRunner, Submission, TaskContext, task
from jobrunner.api.app import make_app
from jobrunner.api.guard.door import EVERYBODY
from jobrunner.api.guard.seats import Seats
from jobrunner.api.intake import read_json
from jobrunner.api.jobs import take
from jobrunner.api.shapes import Submission as Asked
from jobrunner.api.shapes import accepted_json, answer, validated
from jobrunner.broker.queue import Entry, Queue
from jobrunner.declare import TaskSpec
from jobrunner.observe import collect_rarely
from jobrunner.runtime import Runtime, opened, resolve
from jobrunner.settings import load
from tests.bench import big_table

# Deleted rows would leave space in old pages, which a table that only grows has none of.
_CANCEL = """
UPDATE jobrunner.jobs SET status = 'cancelled', worker_id = NULL, completed_at = now(), updated_at = now()
WHERE module = 'bench' AND status IN ('pending', 'in_progress')
"""
_EMPTIED = "bench:emptied"
_PAGE = 2000


class Numbered(BaseModel):
    i: int


class Answered(BaseModel):
    value: int


@task(module="bench")
async def noop(ctx: TaskContext, params: Numbered) -> Answered:
    return Answered(value=await common.noop_async(params.i))


@task(module="bench")
async def sleep(ctx: TaskContext, params: Numbered) -> Answered:
    return Answered(value=await common.sleep_async(params.i) or 0)


@task(module="bench")
async def io(ctx: TaskContext, params: Numbered) -> Answered:
    return Answered(value=await common.io_async(params.i))


class Picture(BaseModel):
    prompt: str
    width: int
    height: int


@task(module="bench")
async def image(ctx: TaskContext, params: Picture) -> Answered:
    """Only submitted: no worker runs beside the front."""
    return Answered(value=params.width)


TASKS: dict[str, TaskSpec[Numbered, Answered]] = {"noop": noop, "sleep": sleep, "io": io}


async def empty_with_redis() -> None:
    connection = await asyncpg.connect(os.environ["JOBRUNNER_DATABASE_URL"])
    try:
        async with Redis.from_url(common.REDIS) as redis:
            await connection.execute("SELECT pg_advisory_lock(1)")  # worker and producer may start at once
            if await redis.exists(_EMPTIED):
                return
            if common.VARIANT == big_table.VARIANT:
                await connection.execute(_CANCEL)
                await connection.execute("DELETE FROM jobrunner.workers")
                await push_pending(connection)
            else:
                await connection.execute("TRUNCATE jobrunner.jobs, jobrunner.workers CASCADE")
            await redis.set(_EMPTIED, 1)
    finally:
        await connection.close()


async def push_pending(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("SELECT id, task, due_at FROM jobrunner.jobs WHERE status = 'pending'")
    queue = Queue(common.REDIS, name=load().worker.queue)
    for start in range(0, len(rows), _PAGE):
        await queue.push([Entry(*row) for row in rows[start : start + _PAGE]])
    await queue.aclose()


async def produce() -> None:
    await empty_with_redis()
    async with JobRunner() as runner:
        collect_rarely()  # as a server does that has started, whose imports no collection need look through again

        async def enqueue(kind: str, i: int) -> None:
            await runner.submit(TASKS[kind], Numbered(i=i))

        async def batch(kind: str, indexes: Iterable[int]) -> None:
            await runner.submit_many([Submission(TASKS[kind], Numbered(i=i)) for i in indexes])

        await common.produce_async(enqueue, batch)


def front_of(runtime: Runtime) -> web.Application:
    """Our API, with the harness' `POST /jobs` beside our own: the same steps behind the same middlewares."""

    async def submit(request: web.Request) -> web.Response:
        body: dict[str, Any] = await read_json(request)
        asked = validated(Asked, {"task": body["type"], "params": body["params"]})
        return answer(accepted_json(await take(runtime.client, seats, EVERYBODY, asked)), status=202)

    seats = Seats(runtime.limits, runtime.store, queue=runtime.queue.name)
    app = make_app(runtime)
    app.router.add_post("/jobs", submit)
    return app


async def front(port: int) -> None:
    await empty_with_redis()
    async with opened(resolve(load())) as runtime:
        runner = web.AppRunner(front_of(runtime), access_log=None, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        collect_rarely()  # as `jobrunner serve` does
        await asyncio.Event().wait()


def main() -> None:
    match sys.argv[1:]:
        case ["worker"]:
            uvloop.run(empty_with_redis())
            os.execv(sys.executable, [sys.executable, "-m", "jobrunner", "worker"])  # noqa: S606  # as users start it
        case ["front", port]:
            uvloop.run(front(int(port)))
        case _:
            uvloop.run(produce())


if __name__ == "__main__":
    # The task module is imported by its name too, and must be the same one: a task is declared once.
    os.environ |= {"JOBRUNNER_REDIS_URL": common.REDIS, "JOBRUNNER_TASK_MODULES": "jobrunner_app"}
    os.environ["JOBRUNNER_WORKER__MAX_JOBS"] = str(common.CONC)
    os.environ["JOBRUNNER_LOG_LEVEL"] = "WARNING"  # as all others there
    sys.modules["jobrunner_app"] = sys.modules["__main__"]
    main()
