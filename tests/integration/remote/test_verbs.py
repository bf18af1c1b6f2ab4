"""The same verbs, in process and over HTTP: what one says, the other says, also where it refuses."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from jobrunner import JobFailed, JobRunner, NotFound, Submission, SubmitOptions
from jobrunner.client import local, logs
from jobrunner.errors import InvalidParams, InvalidRequest, JobrunnerError, NoRunner, PermanentError, UnknownTask
from jobrunner.job import Status
from jobrunner.remote import verbs
from jobrunner.runtime import Runtime
from jobrunner.store.logs import Said
from jobrunner.verbs import following
from jobrunner.worker.loop import WorkerLoop
from tests.integration.remote.conftest import SOON_S, Frame, Order, draw_frame, picture
from tests.workers import at_work


async def test_delay_answers_a_job_whose_result_is_the_tasks_model(runner: JobRunner, worker: WorkerLoop) -> None:
    job = await draw_frame.options(record_id="r1", metadata={"n": 1}).delay(colour="blue")
    frame: Frame = await job.result(timeout=SOON_S)
    assert frame == Frame(colour="blue")
    seen = await job.refresh()
    assert (seen.status, seen.record_id, seen.metadata, seen.attempt) == (Status.COMPLETED, "r1", {"n": 1}, 1)


async def test_a_task_given_by_name_is_submitted_and_its_result_stays_json(
    runner: JobRunner, worker: WorkerLoop
) -> None:
    job = await runner.submit("draw_frame", {"colour": "green"})
    assert await job.result(timeout=SOON_S) == {"colour": "green", "artifact_id": None}


async def test_a_job_that_failed_raises_its_error(runner: JobRunner, worker: WorkerLoop) -> None:
    job = await draw_frame.delay(fails=True)
    with pytest.raises(JobFailed, match=r"failed: The brush broke\.") as failed:
        await job.result(timeout=SOON_S)
    assert failed.value.code == "brush_broken"
    assert {"code": "brush_broken", "retryable": False}.items() <= failed.value.error.items()
    assert (await runner.wait(job.id)).status is Status.FAILED


async def test_who_waits_too_short_a_time_hears_that_the_job_goes_on(runner: JobRunner) -> None:
    job = await draw_frame.delay()
    with pytest.raises(TimeoutError, match=r"has not ended within 0\.05 s\. It goes on"):
        await runner.wait(job.id, timeout_s=0.05)
    assert (await job.refresh()).status is Status.PENDING


async def test_a_job_is_cancelled_and_retried(runner: JobRunner) -> None:
    job = await draw_frame.delay()
    assert (await job.cancel()).status is Status.CANCELLED
    with pytest.raises(JobFailed, match="cancelled"):
        await job.result(timeout=SOON_S)
    assert (await runner.retry(job.id)).status is Status.PENDING


async def test_one_key_is_one_job(runner: JobRunner) -> None:
    options = SubmitOptions(idempotency_key="order-7")
    first, second = [await runner.submit(draw_frame, Order(), options) for _ in range(2)]
    assert first.id == second.id


async def test_many_are_submitted_at_once_and_each_is_judged_for_itself(runner: JobRunner) -> None:
    good = [Submission(draw_frame, Order(colour=f"c{n}")) for n in range(60)]
    bad = [Submission("draw_frame", {"colour": 7}), Submission("no_such", {}), Submission(draw_frame, {"colour": 1j})]
    answers = await runner.submit_many([bad[0], *good, *bad[1:]])
    assert [type(answers[at]) for at in (0, -2, -1)] == [InvalidParams, UnknownTask, InvalidParams]
    jobs = [each for each in answers if not isinstance(each, JobrunnerError)]
    assert [(await job.refresh()).params["colour"] for job in jobs[:3]] == ["c0", "c1", "c2"]
    assert len({job.id for job in jobs}) == 60


async def test_a_search_goes_on_over_all_pages(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_PAGE", 25)
    many = [Submission(draw_frame, Order(user_id="ann"), SubmitOptions(metadata={"n": n})) for n in range(60)]
    ids = {job.id for job in await runner.submit_many(many) if not isinstance(job, JobrunnerError)}
    await runner.submit(draw_frame, Order(user_id="bob"))
    found = [job async for job in runner.search(user_id="ann", task="draw_frame", status=[Status.PENDING])]
    assert len(found) == 60
    assert {job.id for job in found} == ids
    assert found == sorted(found, key=lambda job: (job.created_at, job.id), reverse=True)
    [one] = [job async for job in runner.search(metadata={"n": 7}, created_after=found[-1].created_at)]
    assert one.metadata == {"n": 7}
    [one] = [job async for job in runner.search(text="BOB")]
    assert one.user_id == "bob"


async def test_a_log_is_read_and_followed_to_the_job_s_end(
    runner: JobRunner, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "AGAIN_S", 0.01)
    job = await draw_frame.delay(colour="blue")
    assert [line async for line in runner.logs(job.id)] == []
    lines = runner.logs(job.id, follow=True)
    first = asyncio.ensure_future(anext(lines))
    async with at_work(WorkerLoop(runtime), leaves_within_s=SOON_S), asyncio.timeout(SOON_S):
        found = [await first, *[line async for line in lines]]
    assert [(line.message, line.level, line.attempt) for line in found] == [("draws in blue", "info", 1)]
    assert [line async for line in runner.logs(job.id)] == found
    with pytest.raises(NotFound):
        await anext(runner.logs(uuid4()))


async def test_a_long_log_is_read_over_all_pages(
    runner: JobRunner, worker: WorkerLoop, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_PAGE", 10)
    monkeypatch.setattr(verbs, "_LINES", "10")
    job = await draw_frame.delay()
    await runner.wait(job.id)
    lines = [Said(job.id, 1, number, time.monotonic(), "info", f"line {number}", "{}") for number in range(2, 26)]
    await runtime.store.logs.append(lines)
    assert [line.message async for line in runner.logs(job.id)][1:] == [line.message for line in lines]


async def test_events_are_told_as_they_happen(runner: JobRunner, runtime: Runtime) -> None:
    async def watch() -> list[tuple[str, object]]:
        found: list[tuple[str, object]] = []
        async for event in runner.events(kind=["status", "log"], user_id="ann"):
            found.append((event.kind, event.data.get("status") or event.data.get("message")))
            if found[-1] == ("status", "completed"):
                return found
        raise AssertionError("it ended")

    watching = asyncio.create_task(watch())
    await read_by_somebody(runtime)
    await draw_frame.delay(user_id="bob")
    await draw_frame.delay(user_id="ann")
    async with at_work(WorkerLoop(runtime), leaves_within_s=SOON_S), asyncio.timeout(SOON_S):
        assert await watching == [
            ("status", "pending"),
            ("status", "in_progress"),
            ("log", "draws in red"),
            ("status", "completed"),
        ]


async def read_by_somebody(runtime: Runtime) -> None:
    """Until the log of changes has a reader."""
    async with asyncio.timeout(SOON_S):
        while not any(each["cmd"] == "xread" for each in await runtime.notices._redis.client_list()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_events_of_a_kind_that_there_is_not_are_refused(runner: JobRunner) -> None:
    with pytest.raises(InvalidRequest, match="kind"):
        await anext(runner.events(kind=["logs"]))


@pytest.mark.parametrize("as_file", [False, True])
async def test_a_file_goes_in_through_a_job_and_out_again(
    runner: JobRunner, worker: WorkerLoop, tmp_path: Path, as_file: bool
) -> None:
    source = tmp_path / "sent.png"
    source.write_bytes(picture())
    sent = await runner.upload(source if as_file else picture(), user_id="u1")
    assert (sent.kind, sent.mime, sent.width, sent.height) == ("image", "image/png", 64, 48)
    assert source.read_bytes() == picture()
    job = await draw_frame.delay(picture=str(sent.id))
    frame = await job.result(timeout=SOON_S)
    [made] = await runner.artifacts(job.id)
    assert str(made.id) == frame.artifact_id
    got = await runner.download(made, tmp_path / "got.png")
    assert got.read_bytes() == picture()


async def test_a_damaged_file_is_not_taken_for_the_artifact(
    runner: JobRunner, runtime: Runtime, tmp_path: Path
) -> None:
    artifact = await runner.upload(picture())
    kept = await runtime.client.artifact(artifact.id)
    runtime.artifacts.path(kept.key).write_bytes(b"x" * artifact.size_bytes)
    into = tmp_path / "out" / "got.png"
    into.parent.mkdir()
    into.write_bytes(b"before")
    with pytest.raises(PermanentError, match="has another hash") as damaged:
        await runner.download(artifact, into)
    assert damaged.value.code == "artifact_damaged"
    assert [(each.name, each.read_bytes()) for each in into.parent.iterdir()] == [("got.png", b"before")]


async def test_both_show_the_same(here: JobRunner, there: JobRunner, worker: WorkerLoop, tmp_path: Path) -> None:
    sent = await here.upload(picture(), user_id="u1")
    job = await here.submit(draw_frame, Order(picture=str(sent.id)), SubmitOptions(metadata={"a": [1, None, "ä"]}))
    failed = await here.submit(draw_frame, Order(fails=True))
    await asyncio.gather(here.wait(job.id, SOON_S), here.wait(failed.id, SOON_S))
    for id in (job.id, failed.id):
        assert await here.get(id) == await there.get(id)
        assert await here.steps(id) == await there.steps(id)
        assert await here.artifacts(id) == await there.artifacts(id)
    assert [each async for each in here.search()] == [each async for each in there.search()]
    assert await here.tasks() == await there.tasks()


NOBODY = UUID(int=7)

REFUSED: dict[str, Callable[[JobRunner], Awaitable[Any]]] = {
    "a task that there is not": lambda runner: runner.submit("no_such", {}),
    "params that do not fit": lambda runner: runner.submit("draw_frame", {"colour": 7, "size": 1}),
    "metadata that is no JSON": lambda runner: runner.submit("draw_frame", {}, SubmitOptions(metadata={"n": 1j})),
    "a webhook where none are sent": lambda runner: runner.submit(
        "draw_frame", {}, SubmitOptions(webhook="https://example.com/told")
    ),
    "no job": lambda runner: runner.get(NOBODY),
    "no job to wait for": lambda runner: runner.wait(NOBODY),
    "no job to cancel": lambda runner: runner.cancel(NOBODY),
    "no job to retry": lambda runner: runner.retry(NOBODY),
    "no job's steps": lambda runner: runner.steps(NOBODY),
    "no job's artifacts": lambda runner: runner.artifacts(NOBODY),
}


@pytest.mark.parametrize("refused", REFUSED)
async def test_both_refuse_with_the_same_words(here: JobRunner, there: JobRunner, refused: str) -> None:
    assert await refusal(REFUSED[refused](here)) == await refusal(REFUSED[refused](there))


async def test_both_refuse_what_a_jobs_state_does_not_allow(here: JobRunner, there: JobRunner, tmp_path: Path) -> None:
    job = await here.submit(draw_frame, Order(), SubmitOptions(idempotency_key="k"))
    other = Order(colour="blue")
    again = SubmitOptions(idempotency_key="k")
    assert await refusal(here.submit(draw_frame, other, again)) == await refusal(there.submit(draw_frame, other, again))
    assert await refusal(here.retry(job.id)) == await refusal(there.retry(job.id))
    await job.cancel()
    assert await refusal(here.cancel(job.id)) == await refusal(there.cancel(job.id))
    gone = (await here.upload(picture())).model_copy(update={"id": uuid4()})
    into = tmp_path / "got.png"
    assert await refusal(here.download(gone, into)) == await refusal(there.download(gone, into))
    assert not into.exists()


async def test_text_that_postgres_does_not_keep_is_refused(runner: JobRunner) -> None:
    with pytest.raises(InvalidRequest, match=r"colour|Postgres"):
        await runner.submit("draw_frame", {"colour": "a\0b"})


async def test_what_is_no_picture_clip_or_sound_is_not_uploaded(runner: JobRunner, tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as junk:
        await runner.upload(b"<svg onload=alert(1)>")
    assert junk.value.code == "media_invalid"
    with pytest.raises(FileNotFoundError):
        await runner.upload(tmp_path / "nothing.png")


async def refusal(call: Awaitable[Any]) -> tuple[Any, ...]:
    """All that an exception says."""
    with pytest.raises(JobrunnerError) as raised:
        await call
    error = raised.value
    return type(error), error.code, error.http_status, str(error), getattr(error, "errors", None)


async def test_a_runner_that_is_closed_says_how_to_open_it(runner: JobRunner) -> None:
    await runner.__aexit__()
    with pytest.raises(NoRunner, match="async with JobRunner"):
        await runner.get(NOBODY)
    async with runner:
        with pytest.raises(NotFound):
            await runner.get(NOBODY)
