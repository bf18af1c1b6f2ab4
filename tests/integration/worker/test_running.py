"""From `.delay` to the row's end: what a task does becomes what its job says."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from arq.connections import ArqRedis
from arq.jobs import Job as ArqJob

from jobrunner.broker.queue import deserialize
from jobrunner.broker.telling import entry_of
from jobrunner.declare import TaskContext
from jobrunner.errors import (
    InvalidParams,
    JobFailed,
    PermanentError,
    RateLimited,
    Retry,
    SoftTimeout,
    TransientError,
)
from jobrunner.job import Job, Status, Transition
from jobrunner.runtime import Runtime
from jobrunner.store.rows import Finish
from jobrunner.worker import supervise
from jobrunner.worker.loop import WorkerLoop
from tests.integration.worker.conftest import SOON_S, Heard, Played, act, ended, play, play_hastily, until

FOREVER_S = 3600


async def hello(ctx: TaskContext) -> str:
    return "hello"


async def forever(ctx: TaskContext) -> None:
    await asyncio.sleep(FOREVER_S)


async def test_a_submitted_job_runs_and_everyone_hears_of_its_end(
    runtime: Runtime, worker: WorkerLoop, redis: ArqRedis, database: asyncpg.Connection
) -> None:
    job = await play.delay(act=act(hello))
    assert await job.result(SOON_S) == Played(value="hello")
    row = await ended(runtime, job.id)
    assert (row.status, row.result, row.fence, row.failures, row.user_id) == (
        Status.COMPLETED,
        {"value": "hello"},
        1,
        0,
        "u1",
    )
    assert row.started_at is not None
    assert row.completed_at is not None
    assert row.created_at <= row.started_at <= row.completed_at
    [shown] = await database.fetch("SELECT id, attempt FROM image_generations WHERE status = 'completed'")
    assert tuple(shown) == (job.id, 1)
    seen = ArqJob(str(job.id), redis, _deserializer=deserialize)
    assert await seen.result(timeout=SOON_S) == {"value": "hello"}


async def test_a_failed_jobs_error_surfaces_where_its_result_is_awaited(worker: WorkerLoop) -> None:
    async def fail(ctx: TaskContext) -> None:
        raise PermanentError("no such picture", code="content_policy", provider="replicate")

    job = await play.delay(act=act(fail))
    with pytest.raises(JobFailed, match="no such picture") as caught:
        await job.result(SOON_S)
    assert (caught.value.code, caught.value.error["provider"]) == ("content_policy", "replicate")


async def test_who_waits_too_long_for_a_result_is_told_and_the_job_goes_on(runtime: Runtime) -> None:
    job = await play.delay(act=act(hello))
    with pytest.raises(TimeoutError):
        await job.result(0.01)
    assert (await runtime.client.get(job.id)).status is Status.PENDING


# ---- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", ["delay", "run_at"])
async def test_a_job_runs_no_earlier_than_asked(wait: str, runtime: Runtime, worker: WorkerLoop) -> None:
    pause = timedelta(seconds=0.3)
    options: dict[str, Any] = {"delay": pause} if wait == "delay" else {"run_at": datetime.now(UTC) + pause}
    job = await play.options(**options).delay(act=act(hello))
    row = await ended(runtime, job.id)
    assert row.started_at is not None
    assert row.started_at >= row.due_at >= row.created_at + pause * 0.5


async def test_the_record_its_metadata_and_the_retries_are_kept_on_the_row(runtime: Runtime) -> None:
    job = await play.options(record_id="r1", retries=7, metadata={"a": [1]}).delay(act=act(hello))
    row = await runtime.client.get(job.id)
    assert (row.record_id, row.retries, row.metadata) == ("r1", 7, {"a": [1]})


@pytest.mark.parametrize("metadata", [{"a": "\0"}, {"a": "\ud800"}, {"a": 2**70}, {"a": object()}])
async def test_metadata_that_cannot_be_kept_is_the_callers_error(metadata: dict[str, Any], runtime: Runtime) -> None:
    with pytest.raises(InvalidParams):
        await play.options(metadata=metadata).delay(act="x")


# ---- how attempts end --------------------------------------------------------------------------


def raising(error: Exception, *, times: int = 99) -> str:
    async def raise_it(ctx: TaskContext) -> int:
        if ctx.job.fence <= times:
            raise error
        return ctx.job.fence

    return act(raise_it)


@pytest.mark.parametrize(
    ("error", "attempts", "code"),
    [
        (TransientError("later"), 3, "transient"),
        (Retry(after=0.01), 3, "retry"),
        (PermanentError("never"), 1, "permanent"),
        (KeyError("a bug"), 1, "task_error"),
        (ValueError("a\0b\ud800"), 1, "task_error"),
    ],
)
async def test_a_failure_is_tried_again_as_often_as_it_may_help(
    error: Exception, attempts: int, code: str, runtime: Runtime, worker: WorkerLoop
) -> None:
    job = await play.delay(act=raising(error))
    row = await ended(runtime, job.id)
    assert row.error is not None
    assert (row.status, row.error["code"], row.failures) == (Status.FAILED, code, attempts)
    assert [each["attempt"] for each in row.errors] == list(range(1, attempts + 1))


async def test_a_rate_limit_costs_no_failure(runtime: Runtime, worker: WorkerLoop) -> None:
    error = RateLimited("slow down", retry_after_s=0)
    job = await play.options(retries=0).delay(act=raising(error, times=4))
    row = await ended(runtime, job.id)
    assert (row.status, row.fence, row.failures, row.error) == (Status.COMPLETED, 5, 0, None)


async def test_a_job_that_its_wake_named_is_taken_again_when_it_waits_again(runtime: Runtime) -> None:
    worker = WorkerLoop(runtime)
    await worker._lease.take()
    job = await play.delay(act=act(hello))
    await worker._claims.sleep(SOON_S)
    [taken], _ = await worker._claims.take(1)
    waits = Finish(taken.id, taken.fence, Transition(Status.PENDING, failures=1))  # it has run, before Redis was asked
    [again] = await runtime.store.finish(worker._lease.worker, [waits])
    assert isinstance(again, Job)
    await runtime.queue.push([entry_of(again)], again=True)
    [retaken], _ = await worker._claims.take(1)
    assert (retaken.id, retaken.fence) == (job.id, 2)


async def test_a_wished_pause_is_kept(runtime: Runtime, worker: WorkerLoop) -> None:
    job = await play.delay(act=raising(Retry(after=timedelta(seconds=0.3)), times=1))
    row = await ended(runtime, job.id)
    assert row.completed_at is not None
    first = datetime.fromisoformat(row.errors[0]["at"])
    assert row.completed_at - first >= timedelta(seconds=0.3)


@pytest.mark.parametrize("value", ["\0", "\ud800", 2**70])
async def test_a_result_that_cannot_be_kept_ends_its_job(value: Any, runtime: Runtime, worker: WorkerLoop) -> None:
    async def spoil(ctx: TaskContext) -> Any:
        return value

    row = await ended(runtime, (await play.delay(act=act(spoil))).id)
    assert row.error is not None
    assert row.status is Status.FAILED
    assert row.error["code"] in {"result_not_storable", "task_error"}


async def test_a_soft_timeout_lets_the_task_save_what_it_has(runtime: Runtime, worker: WorkerLoop) -> None:
    async def save(ctx: TaskContext) -> str:
        try:
            await asyncio.sleep(FOREVER_S)
        except SoftTimeout:
            return "half"
        return "whole"

    job = await play_hastily.delay(act=act(save))
    assert await job.result(SOON_S) == Played(value="half")


async def ignoring_the_soft_one(ctx: TaskContext) -> None:
    try:
        await asyncio.sleep(FOREVER_S)
    except SoftTimeout:
        await asyncio.sleep(FOREVER_S)


@pytest.mark.parametrize(("function", "code"), [(forever, "soft_timeout"), (ignoring_the_soft_one, "timeout")])
async def test_a_timeout_ends_the_job_and_is_named(
    function: Any, code: str, runtime: Runtime, worker: WorkerLoop
) -> None:
    row = await ended(runtime, (await play_hastily.delay(act=act(function))).id)
    assert row.error is not None
    assert (row.status, row.error["code"], row.failures) == (Status.FAILED, code, 1)


async def test_a_function_that_does_not_end_is_abandoned_and_shut_out(
    runtime: Runtime, worker: WorkerLoop, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "END_GRACE_S", 0.1)
    release, over, made = asyncio.Event(), asyncio.Event(), list[str]()
    caught: list[BaseException] = []

    async def buy() -> None:
        made.append("bought")

    async def stubborn(ctx: TaskContext) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        try:
            await ctx.step("late", buy)
        except TransientError as error:
            caught.append(error)
        over.set()

    job = await play_hastily.delay(act=act(stubborn))
    row = await ended(runtime, job.id)
    assert row.error is not None
    assert row.error["code"] == "timeout"
    stuck = await heard.until("task.stuck")
    assert stuck.fields["stuck"] == 1
    release.set()
    async with asyncio.timeout(SOON_S):
        await over.wait()
    assert [getattr(error, "code", None) for error in caught] == ["job_lost"]
    assert made == []
    assert await runtime.store.steps_of(job.id) == []


# ---- a person's verbs --------------------------------------------------------------------------


async def test_a_running_job_is_cancelled_inside(runtime: Runtime, worker: WorkerLoop) -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(ctx: TaskContext) -> None:
        began.set()
        try:
            await asyncio.sleep(FOREVER_S)
        finally:
            cancelled.set()

    job = await play.delay(act=act(wait))
    async with asyncio.timeout(SOON_S):
        await began.wait()
    await runtime.client.cancel(job.id)
    row = await ended(runtime, job.id)
    assert row.error is not None
    assert (row.status, row.error["code"], cancelled.is_set()) == (Status.CANCELLED, "cancelled", True)


async def test_a_person_may_run_a_failed_job_again(runtime: Runtime, worker: WorkerLoop) -> None:
    job = await play.delay(act=raising(PermanentError("once"), times=1))
    assert (await ended(runtime, job.id)).status is Status.FAILED
    await runtime.client.retry(job.id)
    assert await job.result(SOON_S) == Played(value=2)


# ---- the context -------------------------------------------------------------------------------


async def test_a_step_is_made_once_in_all_attempts(runtime: Runtime, worker: WorkerLoop) -> None:
    made: list[int] = []

    async def work(ctx: TaskContext) -> Any:
        async def make() -> dict[str, int]:
            made.append(ctx.job.fence)
            return {"fence": ctx.job.fence}

        answer = await ctx.step("mint", make)
        if ctx.job.fence < 3:
            raise Retry
        return answer

    job = await play.delay(act=act(work))
    assert await job.result(SOON_S) == Played(value={"fence": 1})
    assert made == [1]


async def test_steps_at_once_do_not_spoil_each_other(runtime: Runtime, worker: WorkerLoop) -> None:
    async def work(ctx: TaskContext) -> Any:
        async def good() -> str:
            return "good"

        async def bad() -> object:
            return object()

        makes = (good, good, bad, good)
        results = await asyncio.gather(
            *(ctx.step(f"s{n}", make) for n, make in enumerate(makes)), return_exceptions=True
        )
        return [str(each) for each in results if not isinstance(each, BaseException)]

    jobs = await asyncio.gather(*(play.delay(act=act(work)) for _ in range(3)))
    assert [(await job.result(SOON_S)).value for job in jobs] == [["good"] * 3] * 3


async def test_progress_shows_on_the_row_whatever_its_note_holds(runtime: Runtime, worker: WorkerLoop) -> None:
    seen = asyncio.Event()

    async def work(ctx: TaskContext) -> None:
        ctx.progress(0.2)
        ctx.progress(0.5, "half \0\ud800")
        await seen.wait()

    job = await play.delay(act=act(work))
    await until(lambda: shows_progress(runtime, job.id))
    seen.set()
    assert (await ended(runtime, job.id)).progress == 1


async def shows_progress(runtime: Runtime, id: Any) -> bool:
    row = await runtime.client.get(id)
    return row.progress == 0.5 and (row.progress_note or "").startswith("half")
