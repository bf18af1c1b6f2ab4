"""Notices: heard while somebody listens, and garbage from others is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from arq.connections import ArqRedis

from jobrunner.broker.connection import end_tasks
from jobrunner.broker.stream import ENDED, Notices

SOON_S = 5.0


@pytest.fixture
async def notices(redis_url: str) -> AsyncIterator[Notices]:
    notices = Notices(redis_url)
    yield notices
    await notices.aclose()


async def subscribed(redis: ArqRedis, channel: str) -> None:
    async with asyncio.timeout(SOON_S):
        while (await redis.pubsub_numsub(channel))[0][1] == 0:  # noqa: ASYNC110  # it happens in a server
            await asyncio.sleep(0.01)


async def test_a_notice_reaches_who_listens_and_garbage_does_not(notices: Notices, redis: ArqRedis) -> None:
    heard: asyncio.Queue[list[UUID]] = asyncio.Queue()
    ids = [uuid4(), uuid4()]
    async with notices.listening(ENDED, lambda each: heard.put_nowait(each) if each else None):
        await subscribed(redis, ENDED)
        for garbage in (b"\xff", b"null", b'["no uuid"]', b"[[]]"):
            await redis.publish(ENDED, garbage)
        await notices.send(ENDED, ids)
        async with asyncio.timeout(SOON_S):
            assert await heard.get() == ids


async def test_a_listener_survives_the_loss_of_its_connection(
    notices: Notices, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobrunner.broker.stream._RECONNECT_S", 0.01)
    heard: asyncio.Queue[list[UUID]] = asyncio.Queue()
    async with notices.listening(ENDED, heard.put_nowait):
        await subscribed(redis, ENDED)
        await redis.client_kill_filter(_type="pubsub")
        await subscribed(redis, ENDED)
        await notices.send(ENDED, [ended := uuid4()])
        async with asyncio.timeout(SOON_S):
            assert await heard.get() == [ended]


async def test_a_loop_that_misses_one_cancellation_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobrunner.broker.connection._CANCEL_AGAIN_S", 0.01)

    async def deaf_once() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf_once())
    await asyncio.sleep(0)  # so that it has begun
    async with asyncio.timeout(SOON_S):
        await end_tasks(task)
    assert task.cancelled()
