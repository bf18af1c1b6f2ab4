"""One way to reach Redis, for our own commands and for arq's tools alike."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from arq.connections import ArqRedis, RedisSettings
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisError

from jobrunner.errors import ConfigError, Unavailable

CONNECT_S = 2
ANSWER_S = 2.0
"""Redis is asked for hints only, so nobody waits long for it."""

_CANCEL_AGAIN_S = 0.5
_KEEPALIVE = {"socket_keepalive": True, "health_check_interval": 30}


@asynccontextmanager
async def mapped_errors() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable(f"Redis did not answer ({str(error) or type(error).__name__}).") from error


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel until all have ended: a cancellation may be lost inside a Redis call, and a loop would then go on."""
    pending: Collection[asyncio.Task[Any]] = tasks
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)


def make_redis(url: str, *, connections: int, answer_s: float | None = ANSWER_S) -> ArqRedis:
    """An arq client on a bounded pool of its own; `answer_s` None lets blocking commands block. Raises ConfigError."""
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=connections,
            timeout=CONNECT_S,
            socket_connect_timeout=CONNECT_S,
            socket_timeout=answer_s,
            **({} if url.startswith("unix") else _KEEPALIVE),
        )
    except ValueError as error:
        raise ConfigError(f"redis_url does not work: {error}") from None
    return ArqRedis(pool)


def arq_settings(url: str) -> RedisSettings:
    """The same server in arq's words, for its command line. arq's own `from_dsn` does not unquote passwords."""
    parsed = parse_url(url)
    kind = parsed.get("connection_class")
    return RedisSettings(
        host=parsed.get("host", "localhost"),
        port=parsed.get("port", 6379),
        unix_socket_path=parsed["path"] if kind is UnixDomainSocketConnection else None,
        database=parsed.get("db", 0),
        username=parsed.get("username"),
        password=parsed.get("password"),
        ssl=isinstance(kind, type) and issubclass(kind, SSLConnection),
        conn_timeout=CONNECT_S,
        conn_retries=1,
    )
