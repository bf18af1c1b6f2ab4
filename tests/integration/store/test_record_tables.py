"""[record_tables]: the application's own rows follow in the transaction that moves the job."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from jobrunner.errors import ConfigError
from jobrunner.events import Event, subscribe
from jobrunner.job import Status
from jobrunner.settings import Settings
from jobrunner.settings.tables import RecordTable
from jobrunner.store.migrate import migrate
from jobrunner.store.postgres import Store
from tests.integration.store.conftest import claimed, end, inserted, new, worker

OWN = """
CREATE TYPE progress_word AS ENUM ('pending', 'in_progress', 'completed', 'failed');
CREATE TABLE image_generations (id uuid PRIMARY KEY, state progress_word, image_url varchar(100), problem text);
"""
TABLE = {"table": "image_generations", "status": "state", "result_url": "image_url", "error": "problem"}


@pytest.fixture
async def own(empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A database with a table of the application's, then migrated."""
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute(OWN)
    await migrate(empty_database_url)
    yield connection
    await connection.close()


@asynccontextmanager
async def keeping(url: str, **table: Any) -> AsyncIterator[Store]:
    settings = Settings(database_url=SecretStr(url), record_tables={"image": RecordTable(**{**TABLE, **table})})
    async with Store.opened(settings) as store:
        yield store


async def added(own: asyncpg.Connection) -> str:
    id = uuid4()
    await own.execute("INSERT INTO image_generations (id) VALUES ($1)", id)
    return str(id)


async def shown(own: asyncpg.Connection, id: str) -> tuple[Any, ...]:
    return tuple(*await own.fetch("SELECT state, image_url, problem FROM image_generations WHERE id = $1", id))


async def test_the_applications_row_is_kept_in_step(own: asyncpg.Connection, empty_database_url: str) -> None:
    good, bad = await added(own), await added(own)
    async with keeping(empty_database_url) as store:
        await inserted(store, new(record_id=good), new(record_id=bad), new(record_id=None), new(module="video"))
        assert await shown(own, good) == ("pending", None, None)
        me = await worker(store)
        jobs = {job.record_id: job for job in await claimed(store, me)}
        assert await shown(own, good) == ("in_progress", None, None)
        failure = {"code": "x", "message": "no luck", "retryable": False}
        await store.finish(me, [end(jobs[good], result_url="/u"), end(jobs[bad], Status.FAILED, error=failure)])
        assert await shown(own, good) == ("completed", "/u", None)
        assert await shown(own, bad) == ("failed", None, "no luck")
        await store.retry(jobs[bad].id)
        assert await shown(own, bad) == ("pending", None, None)


@pytest.mark.parametrize("record", ["no uuid", "00000000-0000-0000-0000-000000000000"])
async def test_a_record_that_does_not_exist_does_not_block_its_job(
    record: str, own: asyncpg.Connection, empty_database_url: str
) -> None:
    good = await added(own)
    async with keeping(empty_database_url) as store:
        assert len(await inserted(store, new(record_id=good), new(record_id=record))) == 2
    assert (await shown(own, good))[0] == "pending"


async def test_a_table_that_refuses_our_word_is_reported_and_the_job_moves_on(
    own: asyncpg.Connection, empty_database_url: str
) -> None:
    record, heard = await added(own), list[Event]()
    async with keeping(empty_database_url) as store:
        [job] = await inserted(store, new(record_id=record))
        with subscribe(heard.append):
            cancelled = await store.cancel(job.id, {})  # its enum has no such word
    assert cancelled is not None
    assert cancelled.status is Status.CANCELLED
    assert [(event.name, event.fields["record_id"]) for event in heard] == [("record_table.refused", record)]
    assert (await shown(own, record))[0] == "pending"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"table": "nowhere"}, "record_tables.image.table"),
        ({"id": "key"}, "record_tables.image.id"),
        ({"status": "status"}, "record_tables.image.status"),
        ({"error": "Problem"}, "record_tables.image.error"),
        ({"status": None, "result_url": None, "error": None}, "record_tables.image"),
    ],
)
async def test_a_wrong_entry_is_refused_by_its_key(
    wrong: dict[str, Any], named: str, own: asyncpg.Connection, empty_database_url: str
) -> None:
    with pytest.raises(ConfigError, match=f"`{named}`"):
        async with keeping(empty_database_url, **wrong):
            pass
