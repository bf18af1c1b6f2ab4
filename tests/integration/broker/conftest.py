"""The queue on an empty Redis, arq's own client beside it, and jobs that no Postgres knows."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from arq.connections import ArqRedis

from jobrunner.broker.connection import make_redis
from jobrunner.broker.queue import Entry, Queue
from jobrunner.job import Job, Status

NAME = "arq:queue"
HOLDS_MS = {"draw": 60_000, "film": 600_000}


@pytest.fixture
async def queue(redis_url: str) -> AsyncIterator[Queue]:
    queue = Queue(redis_url, name=NAME)
    yield queue
    await queue.aclose()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[ArqRedis]:
    client = make_redis(redis_url, connections=2)
    yield client
    await client.aclose(close_connection_pool=True)


def entry(*, due_in_s: float = 0.0, task: str = "draw", id: UUID | None = None) -> Entry:
    return Entry(id or uuid4(), task, datetime.now(UTC) + timedelta(seconds=due_in_s))


def ended(id: UUID, status: Status = Status.COMPLETED, **changes: Any) -> Job:
    now = datetime.now(UTC)
    values = {
        "task": "draw",
        "module": "image",
        "params": {},
        "queue": NAME,
        "created_at": now - timedelta(seconds=2),
        "started_at": now - timedelta(seconds=1),
        "completed_at": now,
        "updated_at": now,
        "due_at": now,
        "retries": 3,
        "fence": 2,
        "failures": 0,
        "crashes": 0,
    }
    return Job(id=id, status=status, **{**values, **changes})
