"""The log of changes: in order, read on from anywhere that is held, and capped."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from arq.connections import ArqRedis

from jobrunner.broker import changes as module
from jobrunner.broker.changes import KEY, NOWHERE, Change, Changes, moved, progressed
from jobrunner.broker.stream import Notices
from jobrunner.errors import Unavailable
from jobrunner.job import Status
from tests.integration.broker.conftest import ended


@pytest.fixture
async def changes(redis_url: str) -> AsyncIterator[Changes]:
    notices = Notices(redis_url)
    yield notices.changes
    await notices.aclose()


async def told(changes: Changes, *job_ids: UUID) -> list[Change]:
    """A change of each job, as it is read again."""
    before = await changes.last()
    changes.tell(
        progressed(ended(job_id, Status.IN_PROGRESS), number / 10, "") for number, job_id in enumerate(job_ids)
    )
    await changes.drain()
    return await changes.next(before)


async def test_changes_are_read_in_the_order_in_which_they_were_told(changes: Changes) -> None:
    job = ended(uuid4(), Status.FAILED, error={"code": "x", "message": "\ud800" + "y" * 600, "retryable": False})
    changes.tell([moved(job)])
    changes.tell([progressed(job, 0.5, "half")])
    await changes.drain()
    first, second = await changes.next(NOWHERE)
    said = first.read()
    assert said is not None
    assert (said["status"], said["error"]) == (
        "failed",
        {"code": "x", "message": "?" + "y" * 499, "retryable": False},
    )
    assert (second.kind, second.at) == ("progress", await changes.last())
    assert await changes.next(first.at) == [second]


async def test_a_job_is_read_on_from_where_its_reader_was(changes: Changes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    one, other = uuid4(), uuid4()
    every = [change for ids in ((one, other), (one, one), (other, one)) for change in await told(changes, *ids)]
    ones = [change for change in every if change.job_id == str(one)]
    assert await changes.since(one, every[0].at) == ones[1:]
    assert await changes.since(one, every[-1].at) == []
    assert await changes.since(one, (every[-1].at[0], every[-1].at[1] + 1)) is None
    assert await changes.since(one, NOWHERE) is None


async def test_what_is_beyond_the_cap_is_not_held(
    changes: Changes, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD", 100)
    [first] = await told(changes, uuid4())
    await told(changes, *[uuid4()] * 500)
    assert 100 <= await redis.xlen(KEY) < 500  # Redis lets go of whole nodes
    assert await changes.since(UUID(first.job_id), first.at) is None


async def test_foreign_entries_say_nothing(changes: Changes, redis: ArqRedis) -> None:
    for fields in (
        {"foreign": b"\xff"},
        {"job": "1", "kind": "status", "data": '{"id": "1", "attempt": 1, "status": "odd"}'},
    ):
        await redis.xadd(KEY, fields)  # type: ignore[arg-type]  # redis-py's stubs want one union of all
    assert [change.read() for change in await changes.next(NOWHERE)] == [None, None]


async def test_a_redis_that_is_away_holds_nobody_up(changes: Changes) -> None:
    notices = Notices("unix:///nonexistent/redis.sock")
    notices.changes.tell([moved(ended(uuid4()))])
    await notices.aclose()
    with pytest.raises(Unavailable):
        await notices.changes.last()
