"""`jobrunner inspect`: Redis beside Postgres, from an empty queue to one in which each way to disagree occurs."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from arq.connections import ArqRedis
from click.testing import CliRunner
from uuid_utils.compat import uuid7

from jobrunner.broker.connection import make_redis
from jobrunner.broker.queue import now_ms
from jobrunner.cli import main
from jobrunner.runtime import Runtime, opened
from jobrunner.settings import Settings
from jobrunner.store.rows import NewJob
from tests.conftest import apart

QUEUE = "arq:queue"
HOUR_MS = 3_600_000


def inspected(*words: str) -> Any:
    result = CliRunner().invoke(main, ["inspect", *words])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in words else result.stdout


@asynccontextmanager
async def world(settings: Settings) -> AsyncIterator[tuple[Runtime, ArqRedis]]:
    assert settings.redis_url is not None
    redis = make_redis(settings.redis_url.get_secret_value(), connections=2)
    async with opened(settings) as runtime:
        yield runtime, redis
    await redis.aclose(close_connection_pool=True)


async def inserted(runtime: Runtime, queue: str = QUEUE, run_at: datetime | None = None) -> UUID:
    job = NewJob(uuid7(), "draw", "image", "{}", queue, retries=3, run_at=run_at)
    await runtime.store.insert([job])
    return job.id


async def running(runtime: Runtime) -> UUID:
    worker, job = uuid7(), await inserted(runtime)
    await runtime.store.leases.register(
        worker, host="h", pid=1, queue=QUEUE, version="0", max_jobs=1, lease_s=60, tasks=["draw"]
    )
    assert await runtime.store.claim(worker, queue=QUEUE, tasks=["draw"], limit=1, ids=[job])
    return job


async def disarray(settings: Settings) -> dict[str, str | None]:
    """Every way to disagree, by id, and one job (None) that is as it should be."""
    async with world(settings) as (runtime, redis):
        fine, lost, late, ended = [await inserted(runtime) for _ in range(4)]
        early = await inserted(runtime, run_at=datetime(2126, 11, 23, tzinfo=UTC))
        unheld, offered = await running(runtime), await running(runtime)
        await inserted(runtime, queue="another")
        await runtime.client.cancel(ended)
        await runtime.client.telling.drain()
        now = now_ms()
        scores = {fine: now, late: now + HOUR_MS, early: now, offered: now - 1, ended: now, "nobody's": now}
        await redis.zadd(QUEUE, {str(id): score for id, score in scores.items()})
    named = {fine: None, lost: "lost", late: "late", early: "early", unheld: "unheld", offered: "offered"}
    return {str(id): kind for id, kind in named.items()} | {str(ended): "ended", "nobody's": "unknown"}


def test_an_empty_queue_agrees(settings: Settings) -> None:
    words = inspected()
    assert "Redis and Postgres agree." in words
    assert "Workers alive on arq:queue: 0; start `jobrunner worker`" in words


def test_every_way_to_disagree_is_named_with_who_mends_it(settings: Settings) -> None:
    kinds = apart(disarray(settings))
    found = inspected("--json")
    assert {each["id"]: each["kind"] for each in found["disagreements"]} == {
        id: kind for id, kind in kinds.items() if kind is not None
    }
    assert all("worker" in each["meaning"] or "dropped" in each["meaning"] for each in found["disagreements"])
    assert found["redis"] == {"due": 5, "later": 1, "running": 0}
    assert found["postgres"] == {"due": 3, "later": 1, "running": 2, "strange": 0}
    assert found["workers"] == 2
    assert found["elsewhere"] == {"another": {"due": 1, "later": 0, "running": 0, "strange": 0}}


def test_many_that_disagree_alike_are_one_paragraph(settings: Settings) -> None:
    async def many() -> list[UUID]:
        async with world(settings) as (runtime, _):
            await inserted(runtime, queue="another")
            return [await inserted(runtime) for _ in range(7)]

    ids = apart(many())
    words = inspected()
    assert "7 lost: pending, and Redis does not know it" in words
    assert sum(str(id) in words for id in ids) == 5
    assert "and 2 more: --json lists all" in words
    assert "On queue another: 1 due, 0 later, 0 running" in words


def test_a_job_is_shown_with_why_it_waits(settings: Settings) -> None:
    async def one() -> UUID:
        async with world(settings) as (runtime, _):
            return await inserted(runtime)

    id = str(apart(one()))
    shown = CliRunner().invoke(main, ["show", id, "--json"])
    why = json.loads(shown.stdout)["why"]
    assert why == "No worker is alive on its queue, 'arq:queue': start `jobrunner worker`."
    assert why in " ".join(CliRunner().invoke(main, ["show", id]).stdout.split())
