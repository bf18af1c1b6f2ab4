"""Row: webhook receiver down, slow, redirecting, 410."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from jobrunner import declare
from jobrunner.job import Backoff
from jobrunner.tasks import webhook
from jobrunner.worker import breaker, receivers
from tests.faults.world import World, until
from tests.receiver import SECRET, Receiver, receiving

HASTY = Backoff(schedule_s=(0.05,) * 10)


@pytest.fixture(autouse=True)
def _days_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "WEBHOOK_BACKOFF", HASTY)
    hasty = replace(webhook.deliver_webhook, backoff=HASTY)
    monkeypatch.setitem(declare._registry, hasty.name, hasty)
    monkeypatch.setattr(breaker, "OPEN", Backoff(first_s=0.2, cap_s=0.4))
    monkeypatch.setattr(receivers, "TOTAL_S", 0.5)


@pytest.fixture
async def two() -> AsyncIterator[tuple[Receiver, Receiver]]:
    """One that misbehaves, and one that does not."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(receiving()), await stack.enter_async_context(receiving())


def telling(world: World, *hosts: str, max_jobs: int = 50) -> dict[str, Any]:
    return {
        "webhooks": {"secret": SECRET},
        "net": {"allow": (*world.values["net"]["allow"], *hosts)},
        "worker": {**world.values["worker"], "max_jobs": max_jobs},
    }


async def deliveries(world: World, *jobs: UUID) -> list[asyncpg.Record]:
    asked = "SELECT * FROM jobrunner.jobs WHERE module = 'webhook' AND params ->> 'job_id' = ANY ($1) ORDER BY id"
    return list(await world.database.fetch(asked, [str(job) for job in jobs]))


async def ended(world: World, *jobs: UUID) -> list[asyncpg.Record]:
    """The deliveries about these, once all have ended."""

    async def all_ended() -> list[asyncpg.Record]:
        rows = await deliveries(world, *jobs)
        done = [row for row in rows if row["status"] in ("completed", "failed", "cancelled")]
        return rows if rows and len(rows) == len(done) == len(jobs) else []

    rows: list[asyncpg.Record] = await until(all_ended)
    return rows


async def hang() -> int:
    await asyncio.Event().wait()
    return 204


@pytest.mark.parametrize(
    ("answers", "attempts"),
    [
        ([500, 503, hang, 204], 4),
        ([(302, {"Location": "/elsewhere"}), (301, {"Location": "/elsewhere"}), 204], 3),
        ([(429, {"Retry-After": "0"}), (503, {"Retry-After": "1"}), 204], 3),
    ],
    ids=["down and slow", "redirecting", "asks to wait"],
)
async def test_the_same_message_comes_until_it_is_taken(
    answers: list[Any], attempts: int, world: World, two: tuple[Receiver, Receiver]
) -> None:
    receiver, _ = two
    receiver.answers = list(answers)
    values = telling(world, receiver.host)
    async with world.api(**values) as http, world.working(**values):
        [job] = await world.take(http, "a kite", webhook=receiver.url)
        [delivery] = await ended(world, job)
        rows = await world.all_end(status="completed", failures=0, fence=1)
    assert [row["id"] for row in rows if row["module"] != "webhook"] == [job]
    assert (delivery["status"], delivery["failures"]) == ("completed", attempts - 1)
    assert len({(message.id, message.raw) for message in receiver.had}) == 1
    assert len(receiver.had) == attempts


async def test_one_that_stays_down_is_given_up_and_its_job_stands(world: World, two: tuple[Receiver, Receiver]) -> None:
    receiver, _ = two
    receiver.answers = [500]
    values = telling(world, receiver.host)
    async with world.api(**values) as http, world.working(**values):
        [job] = await world.take(http, "a kite", webhook=receiver.url)
        [delivery] = await ended(world, job)
        row = await world.database.fetchrow("SELECT status, fence FROM jobrunner.jobs WHERE id = $1", job)
    assert (delivery["status"], delivery["failures"]) == ("failed", webhook.deliver_webhook.retries + 1)
    assert row is not None
    assert tuple(row) == ("completed", 1)


async def test_gone_is_asked_no_more(world: World, two: tuple[Receiver, Receiver]) -> None:
    receiver, _ = two
    receiver.answers = [410]
    values = telling(world, receiver.host)
    async with world.api(**values) as http, world.working(**values):
        [first] = await world.take(http, "a kite", webhook=receiver.url)
        [delivery] = await ended(world, first)
        [second] = await world.take(http, "another", webhook=receiver.url)
        async with http.get(f"/v1/jobs/{second}", headers={"Prefer": "wait=20"}) as answer:
            assert (await answer.json())["status"] == "completed"
        assert await deliveries(world, second) == []
    assert (delivery["status"], delivery["failures"], len(receiver.had)) == ("failed", 1, 1)


async def test_a_dead_receiver_delays_no_other_and_no_job(world: World, two: tuple[Receiver, Receiver]) -> None:
    """Twenty deliveries to one that never answers, in a worker of twelve slots: it holds eight of them at most."""
    dead, alive = two
    dead.answers = [hang]
    values = telling(world, dead.host, alive.host, max_jobs=receivers.AT_ONCE + 4)
    async with world.api(**values) as http, world.working(**values):
        await world.take(http, *(f"scene {number}" for number in range(20)), webhook=dead.url)
        await dead.has(receivers.AT_ONCE)
        others = await world.take(http, *(f"other {number}" for number in range(10)), webhook=alive.url)
        told = await ended(world, *others)
        waiting = await deliveries(world, *set(world.accepted) - set(others))
        dead.answers = [204]
        late = await ended(world, *set(world.accepted) - set(others))
    assert {(row["status"], row["failures"]) for row in told} == {("completed", 0)}
    assert any(row["status"] == "pending" and row["failures"] == 0 for row in waiting)
    assert {row["status"] for row in late} == {"completed"}
    assert len({message.id for message in dead.had}) == 20
