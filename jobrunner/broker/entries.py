"""What the queue holds, entry by entry, for whoever compares it with Postgres."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix

from jobrunner.broker.connection import mapped_errors

FOREIGN = "surrogateescape"
"""How ids that anyone may have written become text, and the same bytes again."""

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Held:
    """`due_ms`: when it comes to the queue's head; of a running job: when its hold ends. `running`: as arq sees it."""

    due_ms: float
    running: bool


class Entries:
    """All methods raise Unavailable where Redis is away."""

    def __init__(self, redis: ArqRedis, name: str) -> None:
        self._redis = redis
        self._name = name

    async def pages(self) -> AsyncIterator[Mapping[str, Held]]:
        """All, by id. What moves meanwhile may come twice; what comes or goes meanwhile may be left out."""
        cursor: int | None = None
        while cursor != 0:
            with mapped_errors():
                cursor, found = await self._redis.zscan(self._name, cursor or 0, count=_PAGE)
            yield await self._held({raw.decode(errors=FOREIGN): float(score) for raw, score in found})

    async def of(self, ids: Collection[str]) -> Mapping[str, Held]:
        """Those of `ids` that the queue holds."""
        raw = [job_id.encode(errors=FOREIGN) for job_id in ids]
        with mapped_errors():
            scores = await self._redis.zmscore(self._name, raw) if raw else []  # type: ignore[arg-type]  # bytes do
        return await self._held({job_id: score for job_id, score in zip(ids, scores, strict=True) if score is not None})

    async def _held(self, due_ms: Mapping[str, float]) -> Mapping[str, Held]:
        prefix = in_progress_key_prefix.encode()
        with mapped_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in due_ms:
                    pipe.exists(prefix + job_id.encode(errors=FOREIGN))
                running = await pipe.execute()
        return {job_id: Held(due_ms[job_id], bool(runs)) for job_id, runs in zip(due_ms, running, strict=True)}
