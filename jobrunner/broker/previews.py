"""What jobs show of their work so far: a small picture each, for a while, in `jobrunner:preview:<job id>`.

All methods raise Unavailable.
"""

from collections.abc import Collection
from uuid import UUID

from arq.connections import ArqRedis

from jobrunner.broker.connection import mapped_errors

MOST_BYTES = 256 * 1024
TYPES = ("image/jpeg", "image/png", "image/webp")

_KEPT_S = 3600
"""What a worker that died does not take away goes by itself."""


class Previews:
    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis

    async def put(self, job_id: UUID, picture: bytes) -> None:
        with mapped_errors():
            await self._redis.set(_key(job_id), picture, ex=_KEPT_S)

    async def get(self, job_id: UUID) -> bytes:
        """Nothing where there is none. What stands in Redis may have been written by anyone."""
        with mapped_errors():
            found: bytes = await self._redis.getrange(_key(job_id), 0, MOST_BYTES - 1)
        return found

    async def drop(self, job_ids: Collection[UUID]) -> None:
        with mapped_errors():
            await self._redis.unlink(*map(_key, job_ids))


def _key(job_id: UUID) -> str:
    return f"jobrunner:preview:{job_id}"
