"""One way to reach Redis, for our own commands and for arq's tools alike."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, cast

import hiredis
from arq.connections import ArqRedis, RedisSettings
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.exceptions import RedisError

from jobrunner.errors import ConfigError, Unavailable
from jobrunner.settings.servers import check_files, tls_failure

CONNECT_S = 2
ANSWER_S = 2.0
"""Redis is asked for hints only, so nobody waits long for it."""

_UNSENT_BYTES = 65_536
"""More make a transport ask its writer to wait."""

_CANCEL_AGAIN_S = 0.5
_KEEPALIVE = {"socket_keepalive": True, "health_check_interval": 30}
_CA = "ssl_ca_certs"
_TLS_FILES = (_CA, "ssl_certfile", "ssl_keyfile")


@contextmanager
def mapped_errors() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        failure = tls_failure(error, setting="redis_url", authority=_CA)
        raise Unavailable(failure or f"Redis did not answer ({str(error) or type(error).__name__}).") from error


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel until all have ended: a cancellation may be lost inside a Redis call, and a loop would then go on."""
    pending: Collection[asyncio.Task[Any]] = tasks
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)


def _quicker(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """redis-py's asyncio connections join a command's parts in Python, a thousand of them for a batch of jobs.

    Before each command they read with a timeout of 0 s, to see whether the server hung up, or said something unasked:
    two turns of the event loop for what the stream knows. And they write each command in a task of its own, to wait
    no longer than so for room: another turn, where there mostly is room.
    """

    class Quicker(kind):  # type: ignore[valid-type,misc]
        def pack_command(self, name: str, *args: Any) -> list[bytes]:
            return [hiredis.pack_command((*name.split(), *args))]  # two words: CONFIG GET

        async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002  # as theirs
            if self.is_connected and check_health:
                await self.check_health()
            if self.is_connected and isinstance(command, list) and not self._writer.transport.is_closing():
                self._writer.writelines(command)
                if self._writer.transport.get_write_buffer_size() <= _UNSENT_BYTES:
                    return
                command = []  # it waits now, until that is sent
            await super().send_packed_command(command, check_health=False)

        async def can_read_destructive(self) -> bool:
            stream: asyncio.StreamReader = self._reader
            return stream.exception() is not None or stream.at_eof() or bool(stream._buffer)  # type: ignore[attr-defined]  # noqa: SLF001

    return Quicker


def make_redis(url: str, *, connections: int, answer_s: float | None = ANSWER_S) -> ArqRedis:
    """An arq client on a bounded pool of its own; `answer_s` None lets blocking commands block. Raises ConfigError."""
    defaults = {
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": answer_s,
        **({} if url.startswith("unix") else _KEEPALIVE),
    }
    options = {**defaults, **_options(url)}
    options["connection_class"] = _quicker(options.get("connection_class", Connection))
    pool = BlockingConnectionPool(max_connections=connections, timeout=CONNECT_S, **options)
    try:
        connection = cast("Any", pool).make_connection()  # connects nowhere; it says now what the first command would
        if isinstance(connection, SSLConnection):
            connection.ssl_context.get()
    except (TypeError, ValueError, OSError, RedisError) as error:
        raise ConfigError(f"redis_url does not work: {error}") from None
    return ArqRedis(pool)


def arq_settings(url: str) -> RedisSettings:
    """The same server in arq's words, for its command line. arq's own `from_dsn` does not unquote passwords."""
    options = _options(url)
    kind = options.get("connection_class")
    return RedisSettings(
        host=options.get("host", "localhost"),
        port=options.get("port", 6379),
        unix_socket_path=options.get("path"),
        database=options.get("db", 0),
        username=options.get("username"),
        password=options.get("password"),
        ssl=isinstance(kind, type) and issubclass(kind, SSLConnection),
        conn_timeout=CONNECT_S,
        conn_retries=1,
        **{name: value for name, value in options.items() if name.startswith("ssl_") and hasattr(RedisSettings, name)},
    )


def _options(url: str) -> dict[str, Any]:
    """redis-py's arguments for `url`. Raises ConfigError.

    With rediss:// the server must show a certificate for its name. redis-py 5 does not check the name by itself.
    """
    try:
        options: dict[str, Any] = {**parse_url(url)}
    except ValueError as error:
        raise ConfigError(f"redis_url does not work: {error}") from None
    if options.get("connection_class") is SSLConnection:
        check_files("redis_url", {name: options[name] for name in _TLS_FILES if name in options})
        options.setdefault("ssl_check_hostname", options.get("ssl_cert_reqs") != "none")
    return options
