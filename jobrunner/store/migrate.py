"""Brings the database to the schema this code was written for. The files in migrations/ alone define it."""

import hashlib
import logging
from dataclasses import dataclass
from functools import cache
from importlib import resources

import asyncpg

from jobrunner.errors import ConfigError
from jobrunner.events import emit
from jobrunner.store.reaching import address, reaching
from jobrunner.store.rows import Connection

_LOCK = 0x6A6F62  # "job": any number that no one else takes as an advisory lock
_LEDGER = """
CREATE TABLE IF NOT EXISTS public.jobrunner_migrations (
  number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
)"""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


@cache
def migrations() -> tuple[Migration, ...]:
    """All that this version ships, in order."""
    files = resources.files("jobrunner.store").joinpath("migrations").iterdir()
    named = sorted((file.name, file) for file in files if file.name.endswith(".sql"))
    return tuple(Migration(int(name[:4]), name[5:-4], file.read_text(encoding="utf-8")) for name, file in named)


async def migrate(database_url: str, *, up_to: int | None = None) -> list[str]:
    """Apply what is missing, all in one transaction; answers the names applied.

    Many may start at once: an advisory lock lets one work and the others find it done.
    Raises ConfigError for a changed migration, a database newer than this code, a wrong URL or a missing right,
    and Unavailable where nothing answers.
    """
    connection = await _connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute(_LEDGER)
            applied = await _applied(connection)
            _check(applied)
            missing = [
                each for each in migrations() if each.number not in applied and (up_to is None or each.number <= up_to)
            ]
            for each in missing:
                await connection.execute(each.sql)
                await connection.execute(
                    "INSERT INTO public.jobrunner_migrations (number, name, sha256) VALUES ($1, $2, $3)",
                    each.number,
                    each.name,
                    each.sha256,
                )
                emit("database.migrated", logging.INFO, number=each.number, migration=each.name)
        return [each.name for each in missing]
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigError(f"The role in database_url may not migrate: {error}. Migrate as the owner.") from None
    finally:
        await connection.close()


async def _connect(database_url: str) -> asyncpg.Connection:
    with reaching("; nothing was migrated"):
        return await asyncpg.connect(**address(database_url), statement_cache_size=0)


async def pending(connection: Connection) -> list[str]:
    """The names of the migrations this database still lacks. Raises ConfigError as `migrate` does."""
    if await connection.fetchval("SELECT to_regclass('public.jobrunner_migrations')") is None:
        return [each.name for each in migrations()]
    applied = await _applied(connection)
    _check(applied)
    return [each.name for each in migrations() if each.number not in applied]


async def _applied(connection: Connection) -> dict[int, tuple[str, str]]:
    rows = await connection.fetch("SELECT number, name, sha256 FROM public.jobrunner_migrations")
    return {row["number"]: (row["name"], row["sha256"]) for row in rows}


def _check(applied: dict[int, tuple[str, str]]) -> None:
    known = {each.number: each for each in migrations()}
    for number, (name, sha256) in sorted(applied.items()):
        if number not in known:
            raise ConfigError(
                f"The database has migration {number:04} ({name}), which this version of jobrunner does not know. "
                "It was migrated by a newer one: upgrade this installation."
            )
        if known[number].sha256 != sha256:
            raise ConfigError(
                f"Migration {number:04} ({name}) differs from the one that was applied to this database. "
                "Never edit an applied migration: restore its file and add a new one."
            )
