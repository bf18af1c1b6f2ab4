"""A pool of Postgres connections, and how statements are run on it: errors mapped, transactions tried again.

All methods raise Unavailable where Postgres is away, and InvalidRequest where it refuses the data.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg

from jobrunner.errors import ConfigError, InvalidRequest, Unavailable
from jobrunner.job import Job
from jobrunner.settings import Settings
from jobrunner.store.queries import query
from jobrunner.store.record_tables import RecordTables
from jobrunner.store.rows import Connection, job_of

T = TypeVar("T")
R = TypeVar("R")

_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_BAD_DATA = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.CardinalityViolationError,  # one row twice in a batch: split, they follow each other
)
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the connection was cut in the middle of an operation
    asyncpg.OperatorInterventionError,  # being shut down or starting up
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
)
_TRIES = 5
_ACQUIRE_S = 5.0
_COMMAND_S = 30.0


@asynccontextmanager
async def mapped_errors() -> AsyncIterator[None]:
    try:
        yield
    except _BAD_DATA as error:
        raise InvalidRequest(f"Postgres refused the data: {error}") from error
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
        raise Unavailable(f"The database lacks jobrunner's tables ({error}): run `jobrunner migrate`.") from error
    except _AWAY as error:
        what = str(error) or type(error).__name__
        raise Unavailable(f"Postgres did not answer ({what}); nothing was changed.") from error


class Database:
    def __init__(self, pool: asyncpg.Pool, records: RecordTables) -> None:
        self.pool = pool
        self.records = records

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncIterator["Database"]:
        """Raises ConfigError for a wrong URL or record table, Unavailable where nothing answers."""
        if settings.database_url is None:
            raise ConfigError("database_url is not set.")
        records = RecordTables(settings.record_tables)
        try:
            async with mapped_errors():
                # No named prepared statements: a transaction-mode pooler may stand in between.
                pool = await asyncpg.create_pool(
                    settings.database_url.get_secret_value(),
                    min_size=1,
                    max_size=settings.database_pool_size,
                    command_timeout=_COMMAND_S,
                    timeout=_ACQUIRE_S,
                    statement_cache_size=0,
                    server_settings={"application_name": "jobrunner"},
                )
        except (
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
            ValueError,
        ) as error:
            raise ConfigError(f"database_url does not work: {error}") from None
        try:
            async with mapped_errors(), pool.acquire() as connection:
                await records.prepare(connection)
            yield cls(pool, records)
        finally:
            try:
                await asyncio.wait_for(pool.close(), _ACQUIRE_S)
            except TimeoutError:
                pool.terminate()

    async def rows(self, name: str, *values: Any) -> list[asyncpg.Record]:
        async with mapped_errors(), self.pool.acquire(timeout=_ACQUIRE_S) as connection:
            return await connection.fetch(query(name), *values)

    async def row(self, name: str, *values: Any) -> asyncpg.Record | None:
        rows = await self.rows(name, *values)
        return rows[0] if rows else None

    async def move_all(self, name: str, *values: Any) -> list[Job]:
        """A statement that moves jobs: the application's own rows follow in the same transaction."""

        async def work(connection: Connection) -> list[Job]:
            jobs = [job_of(row) for row in await connection.fetch(query(name), *values)]
            await self.records.mirror(connection, jobs)
            return jobs

        return await self.transaction(work)

    async def move(self, name: str, *values: Any) -> Job | None:
        jobs = await self.move_all(name, *values)
        return jobs[0] if jobs else None

    async def transaction(self, work: Callable[[Connection], Awaitable[R]]) -> R:
        """Run `work` in one transaction, again after a deadlock or serialization failure."""
        async with mapped_errors():
            for tried in range(1, _TRIES + 1):
                try:
                    async with self.pool.acquire(timeout=_ACQUIRE_S) as connection, connection.transaction():
                        return await work(connection)
                except _AGAIN as error:
                    if tried == _TRIES:
                        raise Unavailable(f"Postgres gave up {_TRIES} times over: {error}") from error
                    await asyncio.sleep(random.uniform(0, 0.02 * 2**tried))  # noqa: S311  # jitter
        raise AssertionError("unreachable")


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
