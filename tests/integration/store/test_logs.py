"""Jobs' logs: in order, written once, and no more of them than is kept."""

import time
from typing import Any

import asyncpg
import pytest

from jobrunner.job import Job
from jobrunner.store import logs as module
from jobrunner.store.logs import Line, Said
from jobrunner.store.postgres import Store
from tests.integration.store.conftest import claimed, held, worker


def said(job: Job, number: int, **changes: Any) -> Said:
    values = {"said_s": time.monotonic(), "level": "info", "message": f"line {number}", "fields": '{"n": 1}'}
    return Said(job.id, job.fence, number, **{**values, **changes})


async def messages(store: Store, job: Job) -> list[str]:
    return [line.message for line in await store.logs.page(job.id, (0, 0), 10_000)]


async def test_lines_are_read_page_by_page_in_the_order_in_which_they_were_said(store: Store) -> None:
    job = await held(store, await worker(store))
    lines = [said(job, number) for number in (1, 2, 3)]
    written = await store.logs.append([lines[1], lines[0]])
    assert [each.message for each in written if isinstance(each, Line)] == ["line 2", "line 1"]
    await store.logs.append([lines[2]])
    [first, second] = await store.logs.page(job.id, (0, 0), 2)
    assert (first.message, first.fields, first.place) == ("line 1", {"n": 1}, (job.fence, 1))
    assert [line.message for line in await store.logs.page(job.id, second.place, 2)] == ["line 3"]


async def test_a_line_is_as_old_as_it_was_when_it_was_written(store: Store, database: asyncpg.Connection) -> None:
    job = await held(store, await worker(store))
    [line] = await store.logs.append([said(job, 1, said_s=time.monotonic() - 3600)])
    assert isinstance(line, Line)
    assert 3600 <= await database.fetchval("SELECT extract(epoch FROM now() - $1::timestamptz)", line.at) < 3700


async def test_a_line_that_comes_again_is_written_once(store: Store) -> None:
    job = await held(store, await worker(store))
    await store.logs.append([said(job, 1)])
    again, new = await store.logs.append([said(job, 1), said(job, 2)])
    assert again is None
    assert isinstance(new, Line)
    assert await messages(store, job) == ["line 1", "line 2"]


async def test_the_newest_lines_are_kept_across_attempts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    me = await worker(store)
    other, job = await held(store, me), await held(store, me)
    await store.logs.append([said(other, 1), *(said(job, number) for number in (1, 2, 3, 4))])
    assert await messages(store, job) == ["line 2", "line 3", "line 4"]
    again = await second_attempt(store, job)
    await store.logs.append([said(again, 1, message="again")])
    assert await messages(store, job) == ["line 3", "line 4", "again"]
    assert await messages(store, other) == ["line 1"]


async def test_an_attempt_that_has_a_successor_writes_no_more(store: Store) -> None:
    job = await held(store, await worker(store, lease_s=0))
    again = await second_attempt(store, job)
    assert await store.logs.append([said(job, 1)]) == [None]
    [line] = await store.logs.append([said(again, 1)])
    assert isinstance(line, Line)


async def test_lines_go_with_their_job(store: Store, database: asyncpg.Connection) -> None:
    job = await held(store, await worker(store))
    await store.logs.append([said(job, 1)])
    await database.execute("DELETE FROM jobrunner.jobs WHERE id = $1", job.id)
    assert await database.fetchval("SELECT count(*) FROM jobrunner.logs") == 0


async def second_attempt(store: Store, job: Job) -> Job:
    await store.leases.rescue(job.worker_id)
    [again] = await claimed(store, await worker(store), ids=[job.id], suspicion=1)
    return again
