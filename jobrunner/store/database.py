"""A pool of Postgres connections, and how statements are run on it: errors mapped, transactions tried again.

All methods raise Unavailable where Postgres is away, and InvalidRequest where it refuses the data.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from jobrunner.errors import ConfigError, InvalidRequest, Unavailable
from jobrunner.job import Job
from jobrunner.settings import Settings
from jobrunner.store.outbox import Outbox
from jobrunner.store.queries import query
from jobrunner.store.reaching import address, reaching, sessions
from jobrunner.store.record_tables import RecordTables
from jobrunner.store.rows import Connection, job_of

T = TypeVar("T")
R = TypeVar("R")

_AGAIN = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InvalidCachedStatementError,  # a migration changed the table under a prepared statement
)
_BROKEN = (
    asyncpg.PostgresConnectionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InternalClientError,  # its backend has said that it ends, and nobody has read the end yet
    ConnectionResetError,
)
"""The connection broke: where that was during a COMMIT, nobody knows whether it was made."""
_BAD_DATA = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.CardinalityViolationError,  # one row twice in a batch: split, they follow each other
)
_AWAY = (
    *_BROKEN,
    *_AGAIN,  # of a statement outside a transaction of ours: who asked comes again
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,  # being shut down or starting up
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
)
_TRIES = 5
_ACQUIRE_S = 5.0
_COMMAND_S = 30.0
_SILENCE_S = 10.0
"""A transaction whose client is silent for so long is ended: a worker that froze inside one would keep its locks."""
_CLOSE_S = 1.0
_TURNS = 3
_END_IF_SILENT = "SET LOCAL idle_in_transaction_session_timeout = '{seconds:g}s'"


async def _nothing_to_reset(_connection: Connection) -> None:
    """Our connections hold no session state (a pooler would forbid it), so the pool need not ask Postgres to drop any.

    It has rolled back what a cancelled caller left open before it calls this.
    """


@contextmanager
def mapped_errors() -> Iterator[None]:
    try:
        yield
    except _BAD_DATA as error:
        raise InvalidRequest(f"Postgres refused the data: {error}") from error
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
        raise Unavailable(f"The database lacks jobrunner's tables ({error}): run `jobrunner migrate`.") from error
    except _AWAY as error:
        what = str(error) or type(error).__name__
        raise Unavailable(f"Postgres did not answer ({what}).") from error


@asynccontextmanager
async def _pool(sessions: Mapping[str, Any], size: int) -> AsyncIterator[asyncpg.Pool]:
    pool = await asyncpg.create_pool(
        **sessions,
        min_size=1,
        max_size=size,
        command_timeout=_COMMAND_S,
        timeout=_ACQUIRE_S,
        reset=_nothing_to_reset,
    )
    try:
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), _CLOSE_S)
        except TimeoutError:
            pool.terminate()


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How many connections are open, how many of them in use, and how many may be open."""

    open: int
    used: int
    limit: int


class Database:
    """`by_key` is the same over connections of its own, whose sessions suit statements that find rows by their id.

    Where there are record tables it is this one itself: how an application's own rows are found, nobody knows.
    """

    def __init__(
        self, pool: asyncpg.Pool, records: RecordTables, outbox: Outbox, by_key: "Database | None" = None
    ) -> None:
        self.pool = pool
        self.records = records
        self.outbox = outbox
        self.by_key = by_key or self
        self._returning = set[asyncio.Task[None]]()

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncIterator["Database"]:
        """Raises ConfigError for a wrong URL or record table, Unavailable where nothing answers."""
        if settings.database_url is None:
            raise ConfigError("database_url is not set.")
        records, outbox = RecordTables(settings.record_tables), Outbox(settings.webhooks.urls)
        size = settings.database_pool_size
        keyed = 0 if records else max(1, size // 3)
        async with AsyncExitStack() as stack:
            with reaching():
                place = address(settings.database_url.get_secret_value())
                fit = await sessions(place, timeout_s=_ACQUIRE_S)
                pool = await stack.enter_async_context(_pool({**place, **fit.anew}, size - keyed))
                by_key = await stack.enter_async_context(_pool({**place, **fit.by_key}, keyed)) if keyed else pool
            with mapped_errors():
                async with pool.acquire() as connection:
                    await records.prepare(connection)
            yield cls(pool, records, outbox, cls(by_key, records, outbox) if keyed else None)

    def give_back(self, connection: asyncpg.pool.PoolConnectionProxy, turns: int = _TURNS) -> None:
        """So many turns of the event loop from now: those who waited for the answer go on before."""
        if turns:
            asyncio.get_running_loop().call_soon(self.give_back, connection, turns - 1)
            return
        returning = asyncio.create_task(self._returned(connection))
        self._returning.add(returning)
        returning.add_done_callback(self._returning.discard)

    async def _returned(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):  # it broke, and the pool makes another
            await self.pool.release(connection, timeout=_ACQUIRE_S)

    def use(self) -> PoolUse:
        pools = {self.pool, self.by_key.pool}
        size = sum(pool.get_size() for pool in pools)
        return PoolUse(
            size, size - sum(pool.get_idle_size() for pool in pools), sum(pool.get_max_size() for pool in pools)
        )

    async def rows(self, name: str, *values: Any) -> list[asyncpg.Record]:
        with mapped_errors():
            async with _Lent(self) as connection:
                return await connection.fetch(query(name), *values)

    async def row(self, name: str, *values: Any) -> asyncpg.Record | None:
        rows = await self.rows(name, *values)
        return rows[0] if rows else None

    async def move_all(self, name: str, *values: Any, ending: bool = True) -> list[Job]:
        """A statement that moves jobs; `ending` False: it ends none of them."""
        lone = not ending and not self.records
        return await self.moving(lambda connection: connection.fetch(query(name), *values), lone=lone)

    async def move(self, name: str, *values: Any) -> Job | None:
        jobs = await self.move_all(name, *values)
        return jobs[0] if jobs else None

    async def moving(
        self, work: Callable[[Connection], Awaitable[list[asyncpg.Record]]], *, lone: bool = False
    ) -> list[Job]:
        """Run `work`, which answers the rows of the jobs that it moved, with what must follow in its transaction.

        The application's own rows are kept in step, and deliveries tell webhooks of the jobs that ended.
        """

        async def moved(connection: Connection) -> tuple[list[Job], list[Job]]:
            jobs = [job_of(row) for row in await work(connection)]
            await self.records.mirror(connection, jobs)
            return jobs, await self.outbox.fill(connection, jobs)

        jobs, deliveries = await self.transaction(moved, lone=lone)
        self.outbox.on_committed(deliveries)
        return jobs

    async def transaction(
        self, work: Callable[[Connection], Awaitable[R]], *, repeatable: bool = False, lone: bool = False
    ) -> R:
        """Run `work` in one transaction, again after a deadlock or serialization failure.

        `repeatable`: done twice it is done once, so it is run again also where the answer to its COMMIT was lost.
        `lone`: only its first statement writes, which Postgres commits by itself: it is spared three round trips.
        """
        again = (*_AGAIN, *_BROKEN) if repeatable else _AGAIN
        with mapped_errors():
            for tried in range(1, _TRIES + 1):
                try:
                    async with _Lent(self) as connection:
                        if lone:
                            return await work(connection)
                        async with connection.transaction():
                            await connection.execute(_END_IF_SILENT.format(seconds=_SILENCE_S))
                            return await work(connection)
                except again as error:
                    if tried == _TRIES:
                        raise Unavailable(f"Postgres gave up {_TRIES} times over: {error}") from error
                    await asyncio.sleep(random.uniform(0, 0.02 * 2**tried))  # noqa: S311  # jitter
        raise AssertionError("unreachable")


class _Lent:
    """A connection for the block. Nobody waits until it is back.

    By hand, and not as a generator: every statement comes by here.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __aenter__(self) -> asyncpg.pool.PoolConnectionProxy:
        async with asyncio.timeout(_ACQUIRE_S):  # asyncpg's own timeout takes a task
            self._connection = await self._database.pool.acquire()
        return self._connection

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _BROKEN):
            with suppress(asyncpg.InterfaceError):  # the pool knows already
                self._connection.terminate()
        self._database.give_back(self._connection)


async def in_halves(
    write: Callable[[Sequence[T]], Awaitable[list[R | BaseException]]], batch: Sequence[T]
) -> list[R | BaseException]:
    """One bad row never fails its neighbours: on a data error the batch is split until it stands alone."""
    try:
        return await write(batch)
    except InvalidRequest as error:
        if len(batch) == 1:
            return [error]
    middle = len(batch) // 2
    return [*await in_halves(write, batch[:middle]), *await in_halves(write, batch[middle:])]
