"""What Postgres says of itself: asked by `jobrunner doctor`, over connections of its own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

import asyncpg

from jobrunner.errors import ConfigError, Unavailable
from jobrunner.store.database import mapped_errors
from jobrunner.store.migrate import pending
from jobrunner.store.queries import query
from jobrunner.store.reaching import address, reaching

Pooling = Literal["none", "session", "transaction", "statement"]
"""What stands between us and Postgres: nothing, or a pooler that lends a server for so long."""

_CONNECT_S = 5.0
_ANSWER_S = 5.0
_TURN_S = 3.0
_TURNS = 4


@dataclass(frozen=True, slots=True)
class Facts:
    """`durable`: what is committed outlives a crash. `free`: connections. `forbidden`: tables that we may not write."""

    major: int
    read_only: bool
    durable: bool
    free: int
    forbidden: Sequence[str]


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    with reaching():
        connection = await asyncpg.connect(
            **address(url), statement_cache_size=0, timeout=_CONNECT_S, command_timeout=_ANSWER_S
        )
    try:
        yield connection
    finally:
        connection.terminate()


@asynccontextmanager
async def _asking() -> AsyncIterator[None]:
    try:
        with mapped_errors():
            yield
    except asyncpg.PostgresError as error:
        raise ConfigError(f"Postgres refuses to answer: {error}.") from error


class Checkup:
    """All methods raise Unavailable where Postgres is away, and ConfigError where it refuses to answer."""

    def __init__(self, first: asyncpg.Connection, second: asyncpg.Connection) -> None:
        self._first = first
        self._second = second

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator["Checkup"]:
        """Raises ConfigError for a wrong URL, Unavailable where nothing answers."""
        async with _connected(url) as first, _connected(url) as second:
            yield cls(first, second)

    async def facts(self) -> Facts:
        async with _asking():
            [row] = await self._first.fetch(query("server"))
        return Facts(*row.values())

    async def now(self) -> datetime:
        async with _asking():
            return cast("datetime", await self._first.fetchval(query("clock")))

    async def missing_migrations(self) -> list[str]:
        """Raises ConfigError also for a changed one, and for a database that is newer than this code."""
        async with _asking():
            return await pending(self._first)

    async def pooling(self) -> Pooling:
        """How a pooler gives servers away, told by who answers (pg_backend_pid) and who greeted us (BackendKeyData).

        Two clients hold a server each and give it back in turns: behind a transaction-mode pooler they get each
        other's. Only such a pooler makes one client wait for the other's transaction. Statement mode has none.
        """
        try:
            async with _asking():
                seen = {await self._server_of_first(ends_last=bool(turn % 2)) for turn in range(_TURNS)}
        except _Waits:
            return "transaction"
        except (ConfigError, Unavailable) as error:
            if "statement pooling" in str(error):  # pgbouncer's words, with which it hangs up
                return "statement"
            raise
        if len(seen) > 1:
            return "transaction"
        return "none" if seen == {self._first.get_server_pid()} else "session"

    async def _server_of_first(self, *, ends_last: bool) -> int:
        """Whom the first client speaks to while both are in a transaction. Raises _Waits."""
        outer, inner = (self._first, self._second) if ends_last else (self._second, self._first)
        async with outer.transaction():
            begun = inner.transaction()
            try:
                await asyncio.wait_for(begun.start(), _TURN_S)
            except TimeoutError as error:
                raise _Waits from error
            try:
                return cast("int", await self._first.fetchval(query("backend")))
            finally:
                await begun.rollback()


class _Waits(Exception):
    """One client waits until the other's transaction is over."""
