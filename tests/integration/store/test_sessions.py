"""Statements are prepared once where a session is ours alone, and some planned once; never where a pooler lends it.

And the plans that must not be left to chance.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr

from jobrunner.settings import Settings
from jobrunner.store.database import Database
from jobrunner.store.queries import query
from tests.bench import big_table

_KEY_DATA = b"K\0\0\0\x0c"
"""Starts PostgreSQL's BackendKeyData, which tells the server's process id; poolers tell one that they made up."""


@asynccontextmanager
async def pooler(database_url: str) -> AsyncIterator[str]:
    """Stands in between as poolers do, as far as a client can see it. The URL is its own."""
    place = urlsplit(database_url)
    socket = f"{parse_qs(place.query)['host'][0]}/.s.PGSQL.5432"
    calls = set[asyncio.Task[None]]()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                head, key_data, rest = data.partition(_KEY_DATA)
                writer.write(head + key_data + b"\x7f" + rest[1:] if key_data else data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(socket)
        for way in (copy(reader, back), copy(there, writer)):
            task = asyncio.create_task(way)
            calls.add(task)
            task.add_done_callback(calls.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://{place.username or 'jobrunner'}@127.0.0.1:{port}{place.path}?sslmode=disable"
    if calls:
        await asyncio.wait(calls)


@pytest.mark.parametrize("lent", [False, True], ids=["ours alone", "lent"])
async def test_only_a_session_of_our_own_holds_prepared_statements(lent: bool, database_url: str) -> None:
    async with pooler(database_url) as its_url:
        settings = Settings(database_url=SecretStr(its_url if lent else database_url))
        async with Database.opened(settings) as database:
            for _ in range(2):
                await database.rows("job", None)
            async with database.pool.acquire() as connection:
                held = await prepared(connection)
    assert held == (set() if lent else {"jobrunner.jobs"})


async def prepared(connection: asyncpg.pool.PoolConnectionProxy) -> set[str]:
    """Of which tables this session knows statements."""
    rows = await connection.fetch("SELECT statement FROM pg_prepared_statements")
    return {"jobrunner.jobs" for row in rows if "jobrunner.jobs" in row["statement"]}


@pytest.mark.parametrize(("name", "values"), [("claim", 5), ("finish", 9)])
async def test_a_plan_that_lasts_finds_jobs_by_their_id_alone(name: str, values: int, database_url: str) -> None:
    """It is made when the table is empty, where every plan looks as good."""
    settings = Settings(database_url=SecretStr(database_url))
    async with Database.opened(settings) as database, database.by_key.pool.acquire() as connection:
        await connection.execute(f"PREPARE it AS {query(name)}")
        nulls = ", ".join(["NULL"] * values)
        plan = [row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE it ({nulls})")]
    looks = {word for line in plan if "Scan" in line for word in line.split() if word.startswith("jobs")}
    assert looks == {"jobs", "jobs_pkey"}, plan
    assert not any("Seq Scan" in line or "Hash Join" in line or "Merge Join" in line for line in plan), plan


async def test_a_page_of_active_jobs_is_read_past_no_finished_ones(database_url: str) -> None:
    """They are older. To the planner all are mixed, and the primary key is the cheaper where random reads are dear."""
    settings = Settings(database_url=SecretStr(database_url))
    async with Database.opened(settings) as database, database.pool.acquire() as connection:
        await connection.execute(big_table.FILL, 20_000, 4000)
        await connection.execute("ANALYZE jobrunner.jobs")
        await connection.execute("SET random_page_cost = 100")
        page = await connection.fetch(f"EXPLAIN {query('active_page')}", settings.worker.queue, UUID(int=0), 1000)
    plan = [row[0] for row in page]
    assert any("Index Scan using jobs_active" in line for line in plan), plan
