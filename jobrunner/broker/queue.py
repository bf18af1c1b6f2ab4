"""The queue on arq's own keys, so that arq's tools and redis-cli can inspect it.

`arq:queue` (zset, score = due in ms), `arq:job:<id>`, `arq:in-progress:<id>`, `arq:result:<id>`; ours are
`jobrunner:wake:<queue>` (a list that idle workers block on), `jobrunner:asked:<queue>` (the last claim that found
nothing) and `jobrunner:epoch`. Payloads are JSON: a function's name and a job's id, no params. All methods raise
Unavailable where Redis is away.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson
from arq.constants import in_progress_key_prefix
from redis.exceptions import ResponseError

from jobrunner.broker import scripts
from jobrunner.broker.connection import CONNECT_S, make_redis, mapped_errors
from jobrunner.broker.entries import FOREIGN, Entries
from jobrunner.errors import ConfigError, JobFailed
from jobrunner.job import Job, Status

RESULT_MS = 3_600_000
"""How long Redis keeps a result, as arq does by default. The row keeps it for good."""

PAYLOAD_MS = 7 * 86_400_000
"""Payloads outlive any outage a person sleeps through; reconcile makes lost ones again."""

EPOCH_KEY = "jobrunner:epoch"

WAKE_CAP = 64
"""More tokens than workers could use say nothing more."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """`next_due_s`: seconds until the next id is due, None if the queue is empty.

    `ids` are as they stand in Redis; bytes that are no UTF-8 are kept as surrogates, so that `drop` finds them.
    """

    ids: list[str]
    next_due_s: float | None


class Entry(NamedTuple):
    """What the queue should hold of a job."""

    id: UUID
    task: str
    due_at: datetime


def now_ms() -> int:
    return round(time.time() * 1000)


def to_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def payload(job_id: UUID, task: str, enqueued_ms: int) -> bytes:
    """A job in arq's shape: try, function, args, kwargs, enqueue time."""
    return orjson.dumps({"t": None, "f": task, "a": [str(job_id)], "k": {}, "et": enqueued_ms})


def serialize(value: Any) -> bytes:
    return orjson.dumps(value)


def deserialize(raw: bytes) -> dict[str, Any]:
    """Read what we wrote, for arq's `Job(id, redis, _deserializer=deserialize)`.

    A failed job's result becomes a JobFailed around its error record, so that `.result()` raises it; no class is
    ever looked up by a name that stands in Redis.
    """
    value: dict[str, Any] = orjson.loads(raw)
    if value.get("s") is False:
        error = value.get("r") or {}
        value["r"] = JobFailed(str(error.get("message", "the job failed")), error=error)
    return value


def result_payload(job: Job, queue: str) -> bytes:
    """A finished job in arq's shape; `r` is the result, or the error record where `s` is false."""
    success = job.status is Status.COMPLETED
    started, job_id = job.started_at or job.created_at, str(job.id)
    return orjson.dumps(
        {
            "t": job.fence,
            "f": job.task,
            "a": [job_id],
            "k": {},
            "et": to_ms(job.created_at),
            "s": success,
            "r": job.result if success else job.error,
            "st": to_ms(started),
            "ft": to_ms(job.completed_at or job.updated_at),
            "q": queue,
            "id": job_id,
        }
    )


class Queue:
    """`entries`: what it holds, for whoever looks inside."""

    def __init__(self, url: str, *, name: str) -> None:
        self.name = name
        self._wake = f"jobrunner:wake:{name}"
        self._asked = f"jobrunner:asked:{name}"
        self._redis = make_redis(url, connections=8)
        # A blocking pop would hold a pooled connection and its socket timeout would cut it: it has its own.
        self._blocking = make_redis(url, connections=1, answer_s=None)
        self._push = self._redis.register_script(scripts.PUSH)
        self._claim = self._redis.register_script(scripts.CLAIM)
        self._forget = self._redis.register_script(scripts.FORGET)
        self.entries = Entries(self._redis, name)

    async def aclose(self) -> None:
        await self._redis.aclose(close_connection_pool=True)
        await self._blocking.aclose(close_connection_pool=True)

    async def check(self) -> None:
        """Refuse a Redis that may throw keys away. Raises ConfigError, Unavailable."""
        with mapped_errors():
            try:
                policy = (await self._redis.config_get("maxmemory-policy")).get("maxmemory-policy", "noeviction")
            except ResponseError:  # managed servers forbid CONFIG; INFO tells as well
                policy = (await self._redis.info("memory")).get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise ConfigError(
                f"Redis has maxmemory-policy {policy} and would throw queued jobs away when it is full. "
                "Set `maxmemory-policy noeviction`."
            )

    async def push(self, entries: Sequence[Entry], *, again: bool = False) -> None:
        """Enter jobs at their due time and wake a worker. `again`: also those that are held or have a result.

        One that comes alone and is due wakes first: it is taken from Postgres, while Redis enters it.
        """
        if not entries:
            return
        now = now_ms()
        alone = not again and len(entries) == 1 and to_ms(entries[0].due_at) <= now
        with mapped_errors():
            if alone:
                await cast("Any", self._redis).lpush(self._wake, str(entries[0].id))
            arguments: list[Any] = ["again" if again else "new", PAYLOAD_MS, now, WAKE_CAP, "" if alone else "wake"]
            for entry in entries:
                arguments += [str(entry.id), to_ms(entry.due_at), payload(entry.id, entry.task, now)]
            await self._push(keys=[self.name, self._wake], args=arguments)

    async def claim(self, limit: int, holds_ms: Mapping[str, int], *, ahead: UUID | None = None) -> Claimed:
        """Take up to `limit` due ids; each is held until its task's hard timeout would have ended (`holds_ms`).

        `ahead` is held too, and not among them: a job that the caller runs, taken by its wake.
        """
        holds = {**holds_ms, "": max(holds_ms.values())}
        with mapped_errors():
            ids, wait_ms = await self._claim(
                keys=[self.name, self._wake, self._asked],
                args=[limit, orjson.dumps(holds), "" if ahead is None else str(ahead)],
            )
        next_due_s = None if wait_ms is None else max(0.0, float(wait_ms) / 1000)
        return Claimed([raw.decode(errors=FOREIGN) for raw in ids], next_due_s)

    async def hold(self, until_ms: Mapping[str, int]) -> None:
        """Show these ids as in progress, each until then: claims that came about without Redis."""
        if not until_ms:
            return
        now = now_ms()
        with mapped_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.zadd(self.name, until_ms)
                for job_id, until in until_ms.items():
                    pipe.set(in_progress_key_prefix + job_id, b"1", px=max(1, until - now))
                await pipe.execute()

    async def finish(self, jobs: Sequence[Job]) -> None:
        """Take ended jobs out of the queue and leave their results, as arq does."""
        if not jobs:
            return
        await self._take_out({str(job.id): result_payload(job, self.name) for job in jobs})

    async def drop(self, ids: Collection[str]) -> None:
        """Forget ids that are no jobs of ours, or none that still has to run."""
        if ids:
            await self._take_out(dict.fromkeys(ids, b""))

    async def _take_out(self, results: Mapping[str, bytes]) -> None:
        arguments = [part for id, result in results.items() for part in (id.encode(errors=FOREIGN), result)]
        with mapped_errors():
            await self._forget(keys=[self.name], args=[RESULT_MS, *arguments])

    async def scores(self, ids: Sequence[str]) -> list[float | None]:
        """When each id is due in the queue, in ms; None for an id it does not hold."""
        if not ids:
            return []
        with mapped_errors():
            return list(await cast("Any", self._redis).zmscore(self.name, list(ids)))

    async def turn(self, service: str, lasting_s: float) -> bool:
        """Whether it is this process's turn at a service that one worker at a time should do."""
        with mapped_errors():
            return bool(
                await self._redis.set(f"jobrunner:turn:{service}:{self.name}", 1, px=round(lasting_s * 1000), nx=True)
            )

    async def wait(self, timeout_s: float) -> str | None:
        """Sleep until something wakes this worker: the id that it names, or ''. None: the time is over."""
        with mapped_errors():
            async with asyncio.timeout(timeout_s + CONNECT_S + 1):
                popped = await cast("Any", self._blocking).blpop([self._wake], timeout=max(0.01, timeout_s))
                return None if popped is None else popped[1].decode(errors=FOREIGN)

    async def wake(self) -> None:
        """Wake whoever waits."""
        with mapped_errors():
            await cast("Any", self._redis).lpush(self._wake, b"")

    async def beat(self, key: str, text: str, lasting_s: float) -> None:
        """Leave arq's health-check sentinel, which `arq --check` reads."""
        with mapped_errors():
            await self._redis.set(key, text, px=round(lasting_s * 1000))

    async def forget_beat(self, key: str) -> None:
        with mapped_errors():
            await self._redis.delete(key)

    async def epoch(self) -> str:
        """A word that changes when Redis lost its memory: its run id, and a marker that a flush takes away."""
        with mapped_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.set(EPOCH_KEY, now_ms(), nx=True)
                pipe.get(EPOCH_KEY)
                pipe.info("server")
                _, marker, server = await pipe.execute()
        return f"{server.get('run_id')}:{marker.decode()}"

    async def forget(self) -> None:
        """Delete the queue itself, once nobody uses it."""
        with mapped_errors():
            await self._redis.delete(self.name, self._wake, self._asked)

    async def depth(self) -> int:
        """How many ids the queue holds, running ones included; also the cheapest question there is."""
        with mapped_errors():
            return int(await self._redis.zcard(self.name))
