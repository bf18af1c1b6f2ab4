"""Deliveries come into being with the end that they tell of, whichever it is, and are told again on request."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr

from jobrunner.job import CRASH_LIMIT, Job, Status
from jobrunner.settings import Settings
from jobrunner.settings.tables import Webhooks
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Filter
from jobrunner.work import Artifact
from tests.integration.store.conftest import QUEUE, claimed, end, inserted, new, row, worker

OWN, DEFAULT, OTHER = "https://own.example.com/told", "https://a.example.com/told", "https://b.example.com/told"
RECORD = {"code": "cancelled", "message": "On request.", "retryable": False}
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no deliveries today' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON jobrunner.jobs FOR EACH ROW WHEN (NEW.module = 'webhook')
  EXECUTE FUNCTION refuse();
"""


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    settings = Settings(database_url=SecretStr(database_url), webhooks=Webhooks(urls=(DEFAULT, OTHER)))
    async with Store.opened(settings) as store:
        yield store


@pytest.fixture
def told(store: Store) -> list[list[UUID]]:
    """What was heard of new deliveries, a list a commit."""
    heard: list[list[UUID]] = []
    store.deliveries.listen(lambda jobs: heard.append([job.id for job in jobs]) if jobs else None)
    return heard


async def running(store: Store, webhook: str | None = OWN, *, lease_s: float = 30.0) -> tuple[UUID, Job]:
    [job] = await inserted(store, new(webhook=webhook, user_id="u1"))
    me = await worker(store, lease_s=lease_s)
    [mine] = await claimed(store, me, ids=[job.id])
    return me, mine


async def completed(store: Store, webhook: str | None = OWN, **changes: Any) -> Job:
    me, job = await running(store, webhook)
    await store.finish(me, [end(job, **changes)])
    return await row(store, job.id)


async def only(store: Store, job_id: UUID) -> Job:
    [delivery] = await store.deliveries.of(job_id)
    return delivery


async def test_a_finished_job_is_told_as_the_api_shows_it(store: Store, told: list[list[UUID]]) -> None:
    me, job = await running(store)
    artifact = Artifact(UUID(int=9), job.id, "image", "image/png", 9, "00", "09/a.png", 64, 32)
    await store.insert_artifact(artifact)
    await store.finish(me, [end(job, result={"n": 1}, result_url=artifact.url)])
    delivery = await only(store, job.id)
    assert told == [[delivery.id]]
    assert (delivery.task, delivery.module, delivery.status) == ("deliver_webhook", "webhook", Status.PENDING)
    assert (delivery.queue, delivery.user_id) == (QUEUE, "u1")
    assert (delivery.params["url"], delivery.params["job_id"]) == (OWN, str(job.id))
    body = delivery.params["body"]
    assert (body["type"], body["timestamp"]) == ("job.completed", body["data"]["completed_at"])
    assert "params" not in body["data"]
    shown = {key: body["data"][key] for key in ("id", "task", "status", "result", "result_url", "error", "user_id")}
    assert shown == {
        "id": str(job.id),
        "task": "draw",
        "status": "completed",
        "result": {"n": 1},
        "result_url": artifact.url,
        "error": None,
        "user_id": "u1",
    }
    assert [file["url"] for file in body["data"]["artifacts"]] == [artifact.url]


async def test_every_way_to_an_end_is_told(store: Store, database: asyncpg.Connection) -> None:
    me, failing = await running(store)
    await store.finish(me, [end(failing, Status.FAILED, error=RECORD)])
    me, stopping = await running(store)
    await store.finish(me, [end(stopping, Status.CANCELLED, error=RECORD)])
    [pending] = await inserted(store, new(webhook=OWN))
    await store.cancel(pending.id, RECORD)
    _, crashed = await running(store, lease_s=-1.0)
    await database.execute("UPDATE jobrunner.jobs SET crashes = $2 WHERE id = $1", crashed.id, CRASH_LIMIT - 1)
    await store.leases.rescue()
    foreign = await database.fetchval("INSERT INTO jobrunner.jobs (task, webhook) VALUES ('x', $1) RETURNING id", OWN)
    await store.adopt(lambda _: RECORD, tasks=["x"], queue=QUEUE, limit=9)
    ends = {failing.id: "failed", stopping.id: "cancelled", pending.id: "cancelled", crashed.id: "failed"}
    for id, word in {**ends, foreign: "failed"}.items():
        body = (await only(store, id)).params["body"]
        assert (body["type"], body["data"]["status"], body["data"]["id"]) == (f"job.{word}", word, str(id))


async def test_what_has_not_ended_is_not_told(store: Store, told: list[list[UUID]]) -> None:
    me, job = await running(store)
    await store.finish(me, [end(job, Status.PENDING, error=RECORD)])
    [mine] = await claimed(store, me, ids=[job.id])
    await store.cancel(job.id, RECORD)
    assert await store.finish(await worker(store), [end(mine)]) == [None]
    assert (told, await store.deliveries.of(job.id)) == ([], [])


async def test_an_end_and_its_delivery_are_one_transaction(
    store: Store, database: asyncpg.Connection, told: list[list[UUID]]
) -> None:
    me, job = await running(store)
    await database.execute(REFUSE)
    with pytest.raises(Exception, match="no deliveries today"):
        await store.finish(me, [end(job)])
    assert (await row(store, job.id)).status is Status.IN_PROGRESS
    assert told == []
    await database.execute("DROP FUNCTION refuse CASCADE")
    await store.finish(me, [end(job)])
    assert (await row(store, job.id)).status is Status.COMPLETED
    assert told == [[(await only(store, job.id)).id]]


async def test_the_settings_webhooks_are_for_jobs_that_name_none(store: Store) -> None:
    urls = [each.params["url"] for each in await store.deliveries.of((await completed(store, None)).id)]
    assert sorted(urls) == [DEFAULT, OTHER]
    assert (await only(store, (await completed(store, OWN)).id)).params["url"] == OWN


async def test_nobody_is_told_of_a_deliverys_end(store: Store) -> None:
    job = await completed(store, None)
    deliveries = await store.deliveries.of(job.id)
    for each in deliveries:
        await store.cancel(each.id, RECORD)
        assert await store.deliveries.of(each.id) == []
    assert len(await store.deliveries.of(job.id)) == len(deliveries)


async def test_deliveries_are_listed_to_those_who_ask_for_them(store: Store) -> None:
    job = await completed(store)
    assert [each.id for each in await store.search(Filter())] == [job.id]
    assert [each.id for each in await store.search(Filter(module="webhook"))] == [(await only(store, job.id)).id]


async def test_a_receiver_that_is_gone_is_told_nothing_until_a_replay(store: Store) -> None:
    await store.deliveries.disable(DEFAULT, "HTTP 410")
    await store.deliveries.disable(DEFAULT, "again")
    job = await completed(store, None)
    assert (await only(store, job.id)).params["url"] == OTHER
    [disabled] = await store.deliveries.disabled([DEFAULT, OTHER])
    assert (disabled.url, disabled.reason) == (DEFAULT, "HTTP 410")
    made = await store.deliveries.replay(job)
    assert DEFAULT in {each.params["url"] for each in made}
    assert await store.deliveries.disabled([DEFAULT]) == []


async def test_a_replay_says_the_same_under_the_same_id(store: Store) -> None:
    job = await completed(store)
    first = await only(store, job.id)
    await store.cancel(first.id, RECORD)
    [second] = await store.deliveries.replay(job)
    assert (second.params, second.retries, second.status) == (first.params, first.retries, Status.PENDING)
    assert second.id != first.id
    assert [each.id for each in await store.deliveries.of(job.id)] == [first.id, second.id]


async def test_a_replay_of_one_that_waits_sends_it_now(store: Store, database: asyncpg.Connection) -> None:
    job = await completed(store)
    first = await only(store, job.id)
    await database.execute("UPDATE jobrunner.jobs SET due_at = now() + interval '1 day' WHERE id = $1", first.id)
    [hastened] = await store.deliveries.replay(job)
    assert hastened.id == first.id
    me = await worker(store)
    assert await store.claim(me, queue=QUEUE, tasks=["deliver_webhook"], limit=9, ids=[first.id])
    assert await store.deliveries.replay(job) == []


async def test_a_replay_tells_each_receiver_the_last_word(store: Store) -> None:
    me, job = await running(store)
    await store.finish(me, [end(job, Status.FAILED, error=RECORD)])
    await store.cancel((await only(store, job.id)).id, RECORD)
    await store.retry(job.id)
    [mine] = await claimed(store, me, ids=[job.id])
    await store.finish(me, [end(mine)])
    _, last = await store.deliveries.of(job.id)
    await store.cancel(last.id, RECORD)
    [again] = await store.deliveries.replay(await row(store, job.id))
    assert again.params == last.params
    assert again.params["body"]["type"] == "job.completed"
