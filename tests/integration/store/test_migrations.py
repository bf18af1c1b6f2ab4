"""The migrations alone define the schema, whichever way a database came to it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from jobrunner.errors import ConfigError, Unavailable
from jobrunner.store import migrate as module
from jobrunner.store.migrate import Migration, migrate, migrations

NAMES = [each.name for each in migrations()]
NUMBERS = [each.number for each in migrations()]
SCHEMA = """
SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('jobrunner', 'public') AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v')
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'jobrunner'
UNION ALL SELECT pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
          WHERE n.nspname = 'jobrunner'
UNION ALL SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
          WHERE n.nspname = 'jobrunner'
ORDER BY 1
"""


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


async def schema(connection: asyncpg.Connection) -> list[str]:
    return [row[0] for row in await connection.fetch(SCHEMA)]


def shipping(monkeypatch: pytest.MonkeyPatch, *shipped: Migration) -> None:
    monkeypatch.setattr(module, "migrations", lambda: shipped)


@pytest.mark.parametrize("earlier", range(len(NAMES)))
async def test_every_earlier_version_is_brought_to_the_same_schema(
    earlier: int, empty_database_url: str, empty: asyncpg.Connection, database_url: str
) -> None:
    assert await migrate(empty_database_url, up_to=NUMBERS[earlier] - 1) == NAMES[:earlier]
    assert await migrate(empty_database_url) == NAMES[earlier:]
    assert await migrate(empty_database_url) == []
    migrated_at_once = await asyncpg.connect(database_url)
    assert await schema(empty) == await schema(migrated_at_once)
    await migrated_at_once.close()


async def test_of_many_that_migrate_at_once_one_does_the_work(empty_database_url: str) -> None:
    answers = await asyncio.gather(*(migrate(empty_database_url) for _ in range(8)))
    assert sorted(answers) == [[]] * 7 + [NAMES]


async def test_an_edited_migration_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shipping(monkeypatch, replace(migrations()[0], sql="SELECT 1"), *migrations()[1:])
    with pytest.raises(ConfigError, match="differs from the one that was applied"):
        await migrate(database_url)


async def test_a_database_newer_than_the_code_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = Migration(NUMBERS[-1] + 1, "newer", "SELECT 1")
    shipping(monkeypatch, *migrations(), newer)
    assert await migrate(database_url) == ["newer"]
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="upgrade this installation"):
        await migrate(database_url)


async def test_a_migration_that_fails_leaves_nothing_behind(
    empty_database_url: str, empty: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipping(monkeypatch, *migrations(), Migration(NUMBERS[-1] + 1, "broken", "SELECT 1 / 0"))
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_database_url)
    assert await empty.fetchval("SELECT to_regnamespace('jobrunner')") is None


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("postgresql://nobody@/nowhere?host=/nonexistent", Unavailable),
        ("mysql://localhost", ConfigError),
    ],
)
async def test_a_wrong_url_is_told_from_a_server_that_is_away(url: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await migrate(url)


async def test_a_database_that_does_not_exist_is_a_wrong_setting(empty_database_url: str) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        await migrate(empty_database_url.replace("///", "///no_such_"))


async def test_users_find_the_generations_under_the_name_they_query(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "INSERT INTO jobrunner.jobs (task, module, status, error, result_url) "
        """VALUES ('a', 'image', 'failed', '{"message": "no"}', '/u'), ('b', 'image', 'completed', NULL, NULL)"""
    )
    [found] = await connection.fetch("SELECT * FROM image_generations WHERE status = 'failed' ORDER BY created_at DESC")
    assert (found["task"], found["error_message"], found["image_url"], found["attempt"]) == ("a", "no", "/u", 0)
    await connection.close()


async def test_an_applications_own_table_of_that_name_stays_untouched(
    empty_database_url: str, empty: asyncpg.Connection
) -> None:
    await empty.execute("CREATE TABLE image_generations (id int); INSERT INTO image_generations VALUES (7)")
    await migrate(empty_database_url)
    assert [tuple(row) for row in await empty.fetch("SELECT * FROM image_generations")] == [(7,)]
