"""Where a bench takes place: on the servers that the settings name, or on embedded ones that end with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr
from uuid_utils.compat import uuid7

from jobrunner import embedded
from jobrunner.broker.gauges import RedisGauges
from jobrunner.broker.queue import Queue
from jobrunner.errors import ConfigError
from jobrunner.runtime import resolve
from jobrunner.settings import Settings
from jobrunner.settings.tables import Http, Webhooks
from jobrunner.store.database import Database
from jobrunner.store.gauges import PostgresGauges
from jobrunner.store.migrate import migrate, pending


@asynccontextmanager
async def found(settings: Settings) -> AsyncIterator[Settings]:
    """Raises ConfigError, also for a database that was not migrated."""
    unset = settings.database_url is None or settings.redis_url is None
    if not unset or embedded.find(settings.directory) is not None:
        yield resolve(settings)
        return
    async with embedded.running(settings.directory) as servers:
        await migrate(servers.database_url)
        update = {
            "database_url": settings.database_url or SecretStr(servers.database_url),
            "redis_url": settings.redis_url or SecretStr(servers.redis_url),
        }
        yield settings.model_copy(update=update)


def guest(settings: Settings) -> Settings:
    """A queue of its own, the bench's tasks alone, and nobody to tell of them."""
    return settings.model_copy(
        update={
            "task_modules": ("jobrunner.bench.tasks",),
            "worker": settings.worker.model_copy(update={"queue": f"jobrunner:bench:{uuid7()}"}),
            "http": Http(port=0, max_body_bytes=settings.http.max_body_bytes),
            "webhooks": Webhooks(),
            "record_tables": {},
        }
    )


@asynccontextmanager
async def measured(settings: Settings) -> AsyncIterator[tuple[PostgresGauges, RedisGauges]]:
    """The gauges of both servers; all that the guest's queue held is deleted when the block ends."""
    assert settings.redis_url is not None  # noqa: S101  # resolved
    url = settings.redis_url.get_secret_value()
    queue, redis = Queue(url, name=settings.worker.queue), RedisGauges(url)
    try:
        async with Database.opened(settings) as database:
            if missing := await database.transaction(pending):
                raise ConfigError(f"The database lacks {', '.join(missing)}: run `jobrunner migrate` first.")
            postgres = PostgresGauges(database)
            begun = (await postgres.read()).now
            try:
                yield postgres, redis
            finally:
                await redis.forget(queue, await postgres.forget(queue.name, begun))
    finally:
        await redis.aclose()
        await queue.aclose()
