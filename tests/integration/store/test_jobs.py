"""Submitting, claiming and finishing: batches keep their neighbours, and only the holder writes."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from jobrunner.errors import InvalidRequest
from jobrunner.job import Job, Status
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Filter, Finish, ProgressNote, Step, StepWrite
from jobrunner.work import Artifact
from tests.integration.store.conftest import QUEUE, claimed, end, held, inserted, new, row, somebody_waits, worker

RECORD = {"code": "cancelled", "message": "Cancelled.", "retryable": False}


def step_of(job: Job, name: str = "draw", **changes: Any) -> StepWrite:
    return StepWrite(Step(job.id, name, job.fence, "done", result=1, **changes))


def artifact_of(job: Job) -> Artifact:
    return Artifact(uuid7(), job.id, "image", "image/png", 3, "ab", "k")


# ---- submitting --------------------------------------------------------------------------------


@pytest.mark.parametrize("batched", [True, False])
async def test_thirty_submissions_with_one_key_are_one_row(
    batched: bool, store: Store, database: asyncpg.Connection
) -> None:
    jobs = [new(idempotency_key="k", digest="d") for _ in range(30)]
    if batched:
        results = await store.insert(jobs)
    else:
        results = [result for [result] in await asyncio.gather(*(store.insert([job]) for job in jobs))]
    rows = [result for result in results if isinstance(result, tuple)]
    assert len({job.id for job, _ in rows}) == 1
    assert sorted(str(digest) for _, digest in rows) == ["None", *["d"] * 29]
    assert await database.fetchval("SELECT count(*) FROM jobrunner.jobs") == 1


async def test_a_key_that_comes_again_brings_the_digest_it_was_first_used_with(store: Store) -> None:
    await store.insert([new(idempotency_key="k", digest="first")])
    [result] = await store.insert([new(idempotency_key="k", digest="other")])
    assert isinstance(result, tuple)
    assert result[1] == "first"


async def test_one_key_in_two_scopes_is_two_jobs(store: Store) -> None:
    jobs = [new(idempotency_key="k", digest=scope, idempotency_scope=scope) for scope in ("ann", "bob", "")]
    first = await store.insert(jobs)
    again = await store.insert([job._replace(id=uuid7()) for job in jobs])
    assert [result[1] for result in first if isinstance(result, tuple)] == [None] * 3
    assert [(result[0].id, result[1]) for result in again if isinstance(result, tuple)] == [
        (job.id, job.digest) for job in jobs
    ]


async def test_a_key_of_code_that_knows_no_scopes_is_found_in_none(store: Store, database: asyncpg.Connection) -> None:
    old = await database.fetchval(
        "INSERT INTO jobrunner.jobs (task, module, idempotency_key, request_digest, retries) "
        "VALUES ('draw', 'image', 'k', 'd', 3) RETURNING id"
    )
    [result] = await store.insert([new(idempotency_key="k", digest="d")])
    assert isinstance(result, tuple)
    assert (result[0].id, result[1]) == (old, "d")


@pytest.mark.parametrize(("hours", "left"), [(12, {"k"}), (25, set())])
async def test_a_key_outlives_its_jobs_retention_by_a_day(
    hours: int, left: set[str], store: Store, database: asyncpg.Connection
) -> None:
    for job in await inserted(store, new(), new(idempotency_key="k", digest="d")):
        await store.cancel(job.id, RECORD)
    await database.execute(
        "UPDATE jobrunner.jobs SET created_at = created_at - $1::interval, completed_at = completed_at - $1",
        timedelta(hours=hours),
    )
    await store.pruning.jobs(0.1)
    assert {row[0] for row in await database.fetch("SELECT idempotency_key FROM jobrunner.jobs")} == left


async def test_a_batch_whose_commit_was_not_heard_of_is_its_own_when_it_comes_again(store: Store) -> None:
    jobs = [new(), new(idempotency_key="k", digest="d")]
    first = await store.insert(jobs)
    assert [result[1] for result in first if isinstance(result, tuple)] == [None, None]
    assert await store.insert(jobs) == first


@pytest.mark.parametrize(
    "bad",
    [
        {"metadata": b'{"a": "\\u0000"}'},
        {"metadata": b'{"a": "\\ud800"}'},
        {"user_id": "\0"},
        {"retries": 2**40},
        {"task": None},
    ],
)
async def test_one_bad_row_does_not_fail_its_neighbours(bad: dict[str, Any], store: Store) -> None:
    jobs = [new(), new(), new(**bad), new(), new()]
    results = await store.insert(jobs)
    assert isinstance(results.pop(2), InvalidRequest)
    assert [result[0].id for result in results if isinstance(result, tuple)] == [
        job.id for job in jobs if job != jobs[2]
    ]


async def test_jobs_are_listed_newest_first_in_pages(store: Store) -> None:
    jobs = await inserted(store, *(new(user_id="ann") for _ in range(3)))
    await inserted(store, new(user_id="bob"))
    first = await store.search(Filter(user_id="ann", limit=2))
    rest = await store.search(Filter(user_id="ann", after=(first[-1].created_at, first[-1].id)))
    assert [job.id for job in [*first, *rest]] == [job.id for job in reversed(jobs)]


# ---- claiming ----------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
async def test_two_workers_never_share_a_job(named: bool, store: Store) -> None:
    jobs = await inserted(store, *(new() for _ in range(100)))
    ids = [job.id for job in jobs] if named else None
    workers = [await worker(store) for _ in range(4)]
    shares = await asyncio.gather(*(claimed(store, each, ids=ids, limit=40) for each in workers))
    shares.append(await claimed(store, workers[0], ids=ids))
    taken = [job.id for share in shares for job in share]
    assert sorted(taken) == sorted(job.id for job in jobs)
    assert {(job.status, job.fence) for share in shares for job in share} == {(Status.IN_PROGRESS, 1)}


@pytest.mark.parametrize(
    "changes",
    [
        {"delay_s": 60.0},
        {"run_at": datetime.now(UTC) + timedelta(hours=1)},
        {"task": "another"},
        {"queue": "elsewhere"},
    ],
)
async def test_what_is_not_due_or_not_this_workers_is_left_pending(changes: dict[str, Any], store: Store) -> None:
    [job] = await inserted(store, new(**changes))
    assert await claimed(store, await worker(store), ids=[job.id]) == []
    assert (await row(store, job.id)).status is Status.PENDING


async def test_a_dead_worker_claims_nothing(store: Store) -> None:
    dead = await worker(store, lease_s=-1)
    await store.leases.rescue()
    [job] = await inserted(store)
    assert await claimed(store, dead, ids=[job.id]) == []


async def test_a_claim_waits_for_a_burial_under_way_and_then_takes_nothing(
    store: Store, database: asyncpg.Connection
) -> None:
    dying = await worker(store)
    await inserted(store)
    async with database.transaction():
        await database.execute("SELECT FROM jobrunner.workers FOR UPDATE")
        claiming = asyncio.create_task(claimed(store, dying))
        await somebody_waits(database)
        await database.execute("UPDATE jobrunner.workers SET dead_at = now()")
    assert await claiming == []


# ---- a holder's writes -------------------------------------------------------------------------


async def test_a_zombie_changes_nothing_of_a_job_it_lost(store: Store) -> None:
    zombie = await worker(store, lease_s=-1)
    old = await held(store, zombie)
    await store.leases.rescue()
    heir = await worker(store)
    [current] = await claimed(store, heir, suspicion=1)
    for by, stale in ((zombie, old), (zombie, current), (heir, old)):
        assert await store.finish(by, [end(stale)]) == [None]
        assert await store.save_steps(by, [replace(step_of(stale), artifacts=[artifact_of(stale)])]) == [False]
        await store.save_progress(by, [ProgressNote(stale.id, stale.fence, 0.5, "half")])
    assert await row(store, old.id) == current
    assert await store.steps_of(old.id) == []
    assert await store.artifacts_of([old.id]) == []


async def test_an_ended_job_takes_no_second_end_and_no_step(store: Store) -> None:
    me = await worker(store)
    job = await held(store, me)
    [done] = await store.finish(me, [end(job, result={"n": 1}, result_url="/u")])
    assert isinstance(done, Job)
    assert (done.status, done.result, done.result_url, done.progress) == (Status.COMPLETED, {"n": 1}, "/u", 1)
    assert await store.finish(me, [end(job, Status.FAILED)]) == [None]
    assert await store.save_steps(me, [step_of(job)]) == [False]


@pytest.mark.parametrize("text", ["\0", "\ud800"])
async def test_a_result_that_cannot_be_kept_fails_alone(text: str, store: Store) -> None:
    me = await worker(store)
    jobs = [await held(store, me) for _ in range(3)]
    ends = [end(job, result=text if job is jobs[1] else "fine") for job in jobs]
    first, refused, last = await store.finish(me, ends)
    assert isinstance(refused, InvalidRequest)
    assert isinstance(first, Job)
    assert isinstance(last, Job)
    assert (await row(store, jobs[1].id)).status is Status.IN_PROGRESS


@pytest.mark.parametrize("text", ["\0", "\ud800"])
async def test_an_error_is_kept_whatever_its_message_holds(text: str, store: Store) -> None:
    me = await worker(store)
    job = await held(store, me)
    [failed] = await store.finish(me, [end(job, Status.FAILED, error={"code": "c", "message": f"a{text}b"})])
    assert isinstance(failed, Job)
    assert failed.error is not None
    assert failed.error["code"] == "c"
    assert [each["attempt"] for each in failed.errors] == [1]


async def test_steps_are_written_with_their_artifacts_and_replaced_by_name(store: Store) -> None:
    me = await worker(store)
    job = await held(store, me)
    made = artifact_of(job)
    assert await store.save_steps(me, [StepWrite(Step(job.id, "draw", job.fence, "intent"))]) == [True]
    assert await store.save_steps(me, [replace(step_of(job), artifacts=[made])]) == [True]
    assert [(step.name, step.state, step.result) for step in await store.steps_of(job.id)] == [("draw", "done", 1)]
    assert await store.artifact(made.id) == made


@pytest.mark.parametrize("bad", [{"name": "\0"}, {"result": object()}, {"name": "twice"}])
async def test_one_bad_step_does_not_fail_its_neighbours(bad: dict[str, Any], store: Store) -> None:
    me = await worker(store)
    job = await held(store, me)
    writes = [step_of(job, "a"), step_of(job, "twice"), StepWrite(replace(step_of(job).step, **bad)), step_of(job, "z")]
    results = await store.save_steps(me, writes)
    assert results[:2] + results[3:] == [True] * 3
    assert {"a", "twice", "z"} == {step.name for step in await store.steps_of(job.id)}


# ---- a person's verbs --------------------------------------------------------------------------


async def test_a_pending_job_is_cancelled_at_once_and_a_running_one_is_asked(store: Store) -> None:
    me = await worker(store)
    running = await held(store, me)
    [pending] = await inserted(store)
    ended = await store.cancel(pending.id, RECORD)
    asked = await store.cancel(running.id, RECORD)
    assert ended is not None
    assert asked is not None
    assert (ended.status, ended.error) == (Status.CANCELLED, RECORD)
    assert (asked.status, asked.error) == (Status.IN_PROGRESS, None)
    assert await store.leases.renew(me, lease_s=1, in_flight=1, stats={}) == [running.id]
    assert await store.cancel(pending.id, RECORD) is None
    assert await store.cancel(uuid7(), RECORD) is None


async def test_of_many_those_are_cancelled_and_retried_that_can_be(store: Store) -> None:
    me = await worker(store)
    running = await held(store, me)
    done = await held(store, me)
    await store.finish(me, [end(done)])
    pending = await inserted(store, new(), new())
    ids = [running.id, done.id, uuid7(), *(job.id for job in pending)]
    assert {job.id for job in await store.cancel_many(ids, RECORD)} == {running.id, *(job.id for job in pending)}
    again = await store.retry_many(ids)
    assert {(job.id, job.status) for job in again} == {(job.id, Status.PENDING) for job in pending}


async def test_a_persons_retry_starts_the_budget_anew_and_keeps_the_history(store: Store) -> None:
    me = await worker(store)
    job = await held(store, me)
    failure = {"code": "x", "message": "no", "retryable": True}
    await store.finish(
        me, [Finish(job.id, job.fence, replace(end(job, Status.FAILED, error=failure).transition, failures=4))]
    )
    again = await store.retry(job.id)
    assert again is not None
    assert (again.status, again.failures, again.crashes, again.error, again.fence) == (Status.PENDING, 0, 0, None, 1)
    assert [error["code"] for error in again.errors] == ["x", "retried_by_hand"]
    assert await store.retry(job.id) is None
    [claim] = await store.claim(me, queue=QUEUE, tasks=["draw"], limit=1, ids=[job.id])
    assert claim.fence == 2
