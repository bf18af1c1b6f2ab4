"""What Postgres says of itself, straight and through each kind of pooler."""

import os
import pwd
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from jobrunner.embedded.launch import Launch
from jobrunner.store.checkup import Checkup

CONFIG = """
[databases]
* = host={sockets} user=jobrunner
[pgbouncer]
unix_socket_dir = {directory}
listen_port = 6432
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
"""


@asynccontextmanager
async def pooled(database_url: str, directory: Path, mode: str, size: int) -> AsyncIterator[str]:
    """The database's URL behind pgbouncer."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "pgbouncer is not installed"
    parts = urlsplit(database_url)
    config = directory / "pgbouncer.ini"
    sockets = parse_qs(parts.query)["host"][0]
    config.write_text(CONFIG.format(sockets=sockets, directory=directory, mode=mode, size=size))
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT)
    nobody = pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None
    launch = Launch("pgbouncer", directory, directory / "log", lock, signal.SIGTERM, run_as=nobody)

    async def ready(_pid: int) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(directory / ".s.PGSQL.6432")) == 0

    async with launch.serve(program, config, ready=ready):
        yield f"postgresql://{parts.path}?host={directory}&port=6432&user=jobrunner"
    os.close(lock)


async def test_our_own_postgres_has_nothing_to_complain_of(database_url: str) -> None:
    async with Checkup.opened(database_url) as checkup:
        facts = await checkup.facts()
        assert (facts.read_only, facts.durable, facts.forbidden) == (False, True, [])
        assert facts.major >= 15
        assert facts.free > 10
        assert await checkup.pooling() == "none"
        assert await checkup.missing_migrations() == []


async def test_what_a_role_may_not_write_and_what_is_not_safe_are_told(
    database_url: str, database: asyncpg.Connection
) -> None:
    name = await database.fetchval("SELECT current_database()")
    await database.execute(
        f"""CREATE ROLE reader_{name} LOGIN; GRANT USAGE ON SCHEMA jobrunner TO reader_{name};
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobrunner TO reader_{name};
            REVOKE DELETE ON jobrunner.steps FROM reader_{name};
            ALTER ROLE reader_{name} SET synchronous_commit = off;
            ALTER ROLE reader_{name} SET default_transaction_read_only = on"""
    )
    try:
        async with Checkup.opened(database_url.replace("user=jobrunner", f"user=reader_{name}")) as checkup:
            facts = await checkup.facts()
        assert (facts.read_only, facts.durable, facts.forbidden) == (True, False, ["steps"])
    finally:
        await database.execute(f"DROP OWNED BY reader_{name}; DROP ROLE reader_{name}")


@pytest.mark.apt
@pytest.mark.parametrize(
    ("mode", "size", "told"),
    [
        ("session", 2, "session"),
        ("transaction", 2, "transaction"),
        ("transaction", 1, "transaction"),
        ("statement", 2, "statement"),
    ],
)
async def test_a_pooler_is_told_by_how_it_lends_servers(
    database_url: str, tmp_path: Path, mode: str, size: int, told: str
) -> None:
    async with pooled(database_url, tmp_path, mode, size) as url, Checkup.opened(url) as checkup:
        assert await checkup.pooling() == told
