"""Keeps the application's own rows in step (`[record_tables]`): the Celery habit, in the transition's transaction."""

import logging
from collections.abc import Mapping, Sequence

import asyncpg

from jobrunner.errors import ConfigError
from jobrunner.events import emit
from jobrunner.job import Job
from jobrunner.settings.tables import RecordTable
from jobrunner.store.rows import Connection, columns

_NOT_THE_TABLES = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
"""Errors that say nothing of the application's table: the whole transaction is tried again, or fails."""


def _quoted(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))


class RecordTables:
    """`mirror` runs inside the transaction that moved the jobs.

    The job's own truth never hangs on the application's table: where that refuses (a missing row type, an enum
    without our word), its savepoint is rolled back, the refusal is reported, and the job moves on.
    """

    def __init__(self, tables: Mapping[str, RecordTable]) -> None:
        self._tables = dict(tables)
        self._statements: dict[str, str] = {}

    def __contains__(self, module: str) -> bool:
        return module in self._tables

    def __bool__(self) -> bool:
        """Whether there is any table to keep in step."""
        return bool(self._tables)

    async def prepare(self, connection: Connection) -> None:
        """Read the columns' own types (an id may be a uuid, a status an enum). Raises ConfigError naming the key."""
        for module, table in self._tables.items():
            rows = await connection.fetch(
                "SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
                "WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped",
                _quoted(table.table),
            )
            types = {row["attname"]: row["type"] for row in rows}
            self._statements[module] = _statement(module, table, types)

    async def mirror(self, connection: Connection, jobs: Sequence[Job]) -> None:
        for module, table in self._tables.items():
            mine = sorted((job for job in jobs if job.module == module and job.record_id), key=_record_id)
            if mine and not await self._write(connection, module, table, mine) and len(mine) > 1:
                for job in mine:  # one bad row must not keep its neighbours' records back
                    await self._write(connection, module, table, [job])

    async def _write(self, connection: Connection, module: str, table: RecordTable, jobs: Sequence[Job]) -> bool:
        rows = [(job.record_id, job.status.value, job.result_url, (job.error or {}).get("message")) for job in jobs]
        try:
            async with connection.transaction():
                await connection.execute(self._statements[module], *columns(rows))
        except _NOT_THE_TABLES:
            raise
        except asyncpg.PostgresError as error:
            if len(jobs) == 1:
                emit(
                    "record_table.refused",
                    logging.ERROR,
                    table=table.table,
                    record_id=jobs[0].record_id,
                    job_id=str(jobs[0].id),
                    error=str(error),
                )
            return False
        return True


def _statement(module: str, table: RecordTable, types: Mapping[str, str]) -> str:
    key = f"record_tables.{module}"
    if not types:
        raise ConfigError(f"setting `{key}.table`: there is no table {table.table}; create it or take the entry out.")
    written = {"status": table.status, "result_url": table.result_url, "error": table.error}
    for field, column in {"id": table.id, **written}.items():
        if column is not None and column not in types:
            raise ConfigError(
                f"setting `{key}.{field}`: {table.table} has no column {column}; it has {', '.join(sorted(types))}."
            )
    pairs = [f"{_quoted(column)} = new.{field}::{types[column]}" for field, column in written.items() if column]
    if not pairs:
        raise ConfigError(f"setting `{key}`: names no column to keep in step; set status, result_url or error.")
    return (
        f"UPDATE {_quoted(table.table)} AS record SET {', '.join(pairs)} "
        "FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS new (id, status, result_url, error) "
        f"WHERE record.{_quoted(table.id)} = new.id::{types[table.id]}"
    )


def _record_id(job: Job) -> str:
    return job.record_id or ""
