"""What several suites need: a runtime of their settings, a connection to see its rows with, a receiver of webhooks."""

from collections.abc import AsyncIterator

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
