"""What Redis says of itself: asked by `jobrunner doctor`, over a connection of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from arq.connections import ArqRedis
from redis.exceptions import ResponseError

from jobrunner.broker.connection import make_redis, mapped_errors


@dataclass(frozen=True, slots=True)
class Facts:
    """`appends`, `snapshots`: how it keeps what it holds; `saved`: whether it could the last time.

    `full`: the part of `maxmemory` that is used; None where there is no such limit.
    """

    version: tuple[int, int]
    primary: bool
    cluster: bool
    appends: bool
    snapshots: bool
    saved: bool
    full: float | None


class Checkup:
    """All methods raise Unavailable where Redis is away."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator["Checkup"]:
        """Raises ConfigError."""
        redis = make_redis(url, connections=1)
        try:
            yield cls(redis)
        finally:
            await redis.aclose(close_connection_pool=True)

    async def facts(self) -> Facts:
        """Sources: Redis' reference of INFO and of `save` in redis.conf."""
        with mapped_errors():
            said = {**await self._redis.info(), **await self._redis.info("cluster")}
            saves = await self._saves()
        major, minor, *_ = str(said["redis_version"]).split(".")
        most = said.get("maxmemory")
        return Facts(
            version=(int(major), int(minor)),
            primary=said.get("role", "master") == "master",
            cluster=bool(said.get("cluster_enabled")),
            appends=bool(said.get("aof_enabled")),
            snapshots=saves,
            saved="err" not in {said.get("rdb_last_bgsave_status"), said.get("aof_last_write_status")},
            full=said["used_memory"] / most if most else None,
        )

    async def _saves(self) -> bool:
        """Managed servers forbid CONFIG, and take snapshots of their own."""
        try:
            return bool((await self._redis.config_get("save")).get("save"))
        except ResponseError:
            return True

    async def now(self) -> datetime:
        with mapped_errors():
            seconds, microseconds = await self._redis.time()
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
