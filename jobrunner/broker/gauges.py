"""What Redis counts of itself, and the end of a queue that only a bench used."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from uuid import UUID

from arq.constants import result_key_prefix

from jobrunner.broker.changes import KEY as CHANGES
from jobrunner.broker.connection import make_redis, mapped_errors
from jobrunner.broker.queue import Queue

_MANY = 1000


@dataclass(frozen=True, slots=True)
class RedisReading:
    """Of the whole server. `commands` counts those inside scripts; what is sent at once is one of `round_trips`."""

    commands: int
    round_trips: int
    cpu_s: float


class RedisGauges:
    def __init__(self, url: str) -> None:
        self._redis = make_redis(url, connections=1)

    async def aclose(self) -> None:
        await self._redis.aclose(close_connection_pool=True)

    async def read(self) -> RedisReading:
        """Raises Unavailable."""
        with mapped_errors():
            stats, cpu = await self._redis.info("stats"), await self._redis.info("cpu")
        cpu_s = float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])
        return RedisReading(stats["total_commands_processed"], stats["total_reads_processed"], cpu_s)

    async def forget(self, queue: Queue, ids: Sequence[UUID]) -> None:
        """Delete what Redis knows of these jobs and of their queue. Raises Unavailable."""
        for start in range(0, len(ids), _MANY):
            some = [str(each) for each in ids[start : start + _MANY]]
            await queue.drop(some)
            with mapped_errors():
                await self._redis.delete(*(result_key_prefix + each for each in some))
        await queue.forget()
        await self._forget_changes({str(each).encode() for each in ids})

    async def _forget_changes(self, ids: Container[bytes]) -> None:
        """Out of the log that all share; one that is empty then was begun by these jobs."""
        after = b"-"
        with mapped_errors():
            while page := await self._redis.xrange(CHANGES, min=after, count=_MANY):
                if ours := [at for at, fields in page if fields.get(b"job") in ids]:
                    await self._redis.xdel(CHANGES, *ours)
                after = b"(" + page[-1][0]
            if not await self._redis.xlen(CHANGES):
                await self._redis.delete(CHANGES)
