"""A receiver on loopback, to which the sandbox delivers its webhooks over real HTTP."""

from collections.abc import AsyncIterator

import pytest

from tests.receiver import Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver
