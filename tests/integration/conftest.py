"""What several suites need: a runtime of their settings, a connection to see its rows with, a receiver of webhooks."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from jobrunner.runtime import Runtime, opened
from jobrunner.settings import Settings
from tests.receiver import Receiver, receiving


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    async with opened(settings) as runtime:
        yield runtime


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What a command finds that is run in this process: all in the environment, nothing in a file."""
    monkeypatch.chdir(tmp_path)
    values = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DATA_DIR": str(tmp_path)}
    for key, value in values.items():
        monkeypatch.setenv(f"JOBRUNNER_{key}", value)
    return Settings()
