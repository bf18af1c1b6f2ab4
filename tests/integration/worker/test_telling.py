"""What a task logs and shows: all that matters is kept, however often it speaks, and none of it can fail its job."""

import asyncio
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from jobrunner.broker.previews import MOST_BYTES
from jobrunner.declare import TaskContext
from jobrunner.errors import PermanentError, Retry, Unavailable
from jobrunner.job import Status
from jobrunner.runtime import Runtime
from jobrunner.store.logs import KEPT, Line, Logs, Said
from jobrunner.worker.journal import WAITING, Journal
from jobrunner.worker.loop import WorkerLoop
from jobrunner.worker.previews import Previews
from tests.hostile.pictures import png
from tests.integration.worker.conftest import act, ended, play, until, working


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in (Journal, Previews):
        monkeypatch.setattr(service, "every_s", 0.01)


async def log_of(runtime: Runtime, job_id: object) -> list[Line]:
    return await runtime.store.logs.page(job_id, (0, 0), 10 * KEPT)  # type: ignore[arg-type]


async def test_a_task_that_logs_without_end_keeps_its_newest_lines_and_fails_in_time(
    runtime: Runtime, worker: WorkerLoop
) -> None:
    async def work(ctx: TaskContext) -> None:
        for number in range(20_000):
            ctx.log(f"line {number}", number=number)
            if number % 1000 == 0:
                await asyncio.sleep(0.01)
        raise PermanentError("out of ink", code="task_error")

    job = await play.delay(act=act(work))
    assert (await ended(runtime, job.id)).status is Status.FAILED
    lines = await log_of(runtime, job.id)
    assert WAITING <= len(lines) <= KEPT
    assert [line.message for line in lines[-2:]] == ["line 19998", "line 19999"]
    assert "lines are left out here" in lines[-WAITING - 1].message


async def test_what_each_attempt_said_last_is_kept(
    runtime: Runtime, worker: WorkerLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Journal, "every_s", 3600)

    async def work(ctx: TaskContext) -> None:
        ctx.log(f"attempt {ctx.job.fence}", level="error")
        if ctx.job.fence == 1:
            raise Retry("once more")

    job = await play.delay(act=act(work))
    await ended(runtime, job.id)
    lines = await log_of(runtime, job.id)
    assert [(line.place, line.level, line.message) for line in lines] == [
        ((1, 1), "error", "attempt 1"),
        ((2, 1), "error", "attempt 2"),
    ]


async def test_lines_wait_while_postgres_takes_none(
    runtime: Runtime, worker: WorkerLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, back = asyncio.Event(), asyncio.Event()
    append = Logs.append

    async def away(self: Logs, lines: list[Said]) -> object:
        asked.set()
        if not back.is_set():
            raise Unavailable("Postgres is away")
        return await append(self, lines)

    monkeypatch.setattr(Logs, "append", away)

    async def work(ctx: TaskContext) -> None:
        ctx.log("one")
        await asked.wait()
        ctx.log("two")

    job = await play.delay(act=act(work))
    await ended(runtime, job.id)
    back.set()
    await until(lambda: log_of(runtime, job.id))
    assert [line.message for line in await log_of(runtime, job.id)] == ["one", "two"]


async def test_who_speaks_after_its_end_is_not_heard(runtime: Runtime, worker: WorkerLoop) -> None:
    contexts: list[TaskContext] = []

    async def work(ctx: TaskContext) -> None:
        contexts.append(ctx)

    job = await play.delay(act=act(work))
    await ended(runtime, job.id)
    contexts[0].log("late")
    contexts[0].progress(0.5)
    contexts[0].preview(png())
    other = await play.delay(act=act(work))
    await ended(runtime, other.id)
    assert await log_of(runtime, job.id) == []


# ---- previews ----------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "sketch.png"
    path.write_bytes(png(5, 4))
    return path


async def test_the_last_picture_is_shown_and_goes_with_its_attempt(
    runtime: Runtime, redis: ArqRedis, picture: Path
) -> None:
    seen = asyncio.Event()

    async def work(ctx: TaskContext) -> None:
        for side in range(1, 1000):
            ctx.preview(png(side, 1))
        ctx.preview(picture)
        await seen.wait()

    async with working(runtime):
        job = await play.delay(act=act(work))
        key = f"jobrunner:preview:{job.id}"
        assert await until(lambda: redis.get(key)) == png(5, 4)
        assert 0 < await redis.ttl(key) <= 3600
        seen.set()
        await ended(runtime, job.id)

        async def gone() -> bool:
            return not await redis.exists(key)

        await until(gone)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (png(1025, 1), "1025 x 1 pixels; 1,024 a side are the most"),
        (png() + bytes(MOST_BYTES), "larger than 262,144 bytes"),
        (png()[:-20], "cut short"),
        (b"GIF89a\1\0\1\0\0\0\0\x3b", "is image/gif"),
        (b"<svg/>", "not a PNG, JPEG, WebP or GIF"),
        (Path("/nonexistent/sketch.png"), "No such file"),
    ],
)
async def test_a_picture_that_cannot_be_shown_costs_a_line(
    runtime: Runtime, worker: WorkerLoop, redis: ArqRedis, image: bytes | Path, why: str
) -> None:
    seen = asyncio.Event()

    async def work(ctx: TaskContext) -> None:
        ctx.preview(image)
        await seen.wait()

    job = await play.delay(act=act(work))
    [line] = await until(lambda: log_of(runtime, job.id))
    assert line.level == "warning"
    assert why in line.message
    assert not await redis.exists(f"jobrunner:preview:{job.id}")
    seen.set()
    assert (await ended(runtime, job.id)).status is Status.COMPLETED
