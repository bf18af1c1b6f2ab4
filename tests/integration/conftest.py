"""A receiver on loopback, to which the sandbox delivers its webhooks over real HTTP; a connection to see rows with."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.receiver import Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()
