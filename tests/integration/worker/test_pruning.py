"""What is old goes, rows first and then their files; nothing else does."""

import os
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from jobrunner.broker.queue import Queue
from jobrunner.declare import TaskContext
from jobrunner.runtime import Runtime, opened
from jobrunner.sandbox.artists.artist import draw
from jobrunner.settings import Settings
from jobrunner.settings.tables import Retention
from jobrunner.store import keeping, pruning
from jobrunner.work import Artifact
from jobrunner.worker.prune import Prune
from jobrunner.worker.sweep import AGE_S, Sweep
from tests.integration.worker.conftest import SOON_S, Heard, act, play, working


@pytest.fixture(autouse=True)
def _every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def turn(*_: object) -> bool:
        return True

    monkeypatch.setattr(Queue, "turn", turn)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"retention": Retention(jobs_days=10, uploads_days=20)})


async def picture(tmp_path: Path) -> Path:
    path = tmp_path / f"{uuid4()}.png"
    path.write_bytes(draw("a cat", 1, 32, 32))
    return path


async def drawn(runtime: Runtime, tmp_path: Path) -> Artifact:
    """The file of a job that completed."""

    async def save(ctx: TaskContext) -> str:
        return str((await ctx.save(await picture(tmp_path), kind="image")).id)

    job = await play.delay(act=act(save))
    return await runtime.client.artifact(UUID((await job.result(SOON_S)).value))


async def uploaded(runtime: Runtime, tmp_path: Path) -> Artifact:
    artifact = await keeping.keep(await picture(tmp_path), runtime.artifacts)
    await runtime.client.keep_upload(artifact)
    return artifact


def kept(runtime: Runtime) -> set[str]:
    root = runtime.settings.artifact_dir
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


async def age(database: asyncpg.Connection, table: str, days: int, *ids: UUID | None) -> None:
    ended = ", completed_at = completed_at - $1::interval" if table == "jobs" else ""
    await database.execute(
        f"UPDATE jobrunner.{table} SET created_at = created_at - $1::interval{ended} WHERE id = ANY ($2)",
        *(timedelta(days=days), ids),
    )


async def test_jobs_that_ended_long_ago_go_with_their_files(
    runtime: Runtime, database: asyncpg.Connection, tmp_path: Path
) -> None:
    waiting = await play.options(delay=timedelta(hours=1)).delay(act="none")
    async with working(runtime):
        old, young = await drawn(runtime, tmp_path), await drawn(runtime, tmp_path)
    await age(database, "jobs", 11, old.job_id, waiting.id)
    await age(database, "jobs", 9, young.job_id)
    await Prune(runtime).run_once()
    assert {row["id"] for row in await database.fetch("SELECT id FROM jobrunner.jobs")} == {young.job_id, waiting.id}
    assert kept(runtime) == {young.key}
    assert await database.fetchval("SELECT count(*) FROM jobrunner.steps") == 1


async def test_without_a_setting_jobs_are_kept_for_good(
    settings: Settings, database: asyncpg.Connection, tmp_path: Path
) -> None:
    async with opened(settings.model_copy(update={"retention": Retention()})) as runtime:
        async with working(runtime):
            old = await drawn(runtime, tmp_path)
        await age(database, "jobs", 10_000, old.job_id)
        await Prune(runtime).run_once()
        assert kept(runtime) == {old.key}


async def test_a_round_takes_a_small_batch(
    runtime: Runtime, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    insert = "INSERT INTO jobrunner.jobs (task, status, created_at, completed_at) VALUES ('t', 'failed', $1, $1)"
    then = await database.fetchval("SELECT now() - interval '11 days'")
    await database.executemany(insert, [(then,)] * 5)
    left = []
    for _ in range(4):
        await Prune(runtime).run_once()
        left.append(await database.fetchval("SELECT count(*) FROM jobrunner.jobs"))
    assert left == [3, 1, 0, 0]


async def test_uploads_go_unless_an_unfinished_job_names_them(
    runtime: Runtime, database: asyncpg.Connection, tmp_path: Path
) -> None:
    unused, used, young = [await uploaded(runtime, tmp_path) for _ in range(3)]
    await play.options(delay=timedelta(hours=1)).delay(act=f"draw over {str(used.id).upper()}, please")
    await age(database, "artifacts", 21, unused.id, used.id)
    await Prune(runtime).run_once()
    assert kept(runtime) == {used.key, young.key}


async def test_old_lines_of_logs_go(runtime: Runtime, database: asyncpg.Connection) -> None:
    async def say(ctx: TaskContext) -> None:
        for day in (29, 31):
            ctx.log(str(day))

    async with working(runtime):
        job = await play.delay(act=act(say))
        await job.result(SOON_S)
    await database.execute("UPDATE jobrunner.logs SET at = at - message::int * interval '1 day'")
    await Prune(runtime).run_once()
    assert [line.message for line in await runtime.client.log_page(job.id, (0, 0), 9)] == ["29"]


async def test_rows_of_workers_that_have_been_dead_for_a_day_go(runtime: Runtime, database: asyncpg.Connection) -> None:
    for _ in range(3):
        await runtime.store.leases.register(uuid7(), host="here", pid=1, queue="q", version="0", max_jobs=1, lease_s=60)
    [old, _, young] = [row["id"] for row in await database.fetch("SELECT id FROM jobrunner.workers ORDER BY id")]
    await database.execute("UPDATE jobrunner.workers SET dead_at = now() - interval '25 hours' WHERE id = $1", old)
    await database.execute("UPDATE jobrunner.workers SET dead_at = now() WHERE id = $1", young)
    await Prune(runtime).run_once()
    assert await database.fetchval("SELECT count(*) FROM jobrunner.workers") == 2


async def test_what_was_counted_goes_after_a_week(runtime: Runtime, database: asyncpg.Connection) -> None:
    for days in (0, 6, 8):
        await database.execute(
            "INSERT INTO jobrunner.minutes "
            "SELECT date_trunc('minute', now()) - $1::interval, $2, 'task', 't', '{}', '{}', '{}'",
            *(timedelta(days=days), uuid4()),
        )
    await Prune(runtime).run_once()
    ages = await database.fetch(
        "SELECT extract(day FROM now() - minute)::int AS days FROM jobrunner.minutes ORDER BY 1"
    )
    assert [row["days"] for row in ages] == [0, 6]


# ---- files without a row -----------------------------------------------------------------------


async def swept(runtime: Runtime) -> None:
    for number in range(256):
        await Sweep(runtime)._sweep_artifacts(f"{number:02x}")


def aged(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    long_ago = time.time() - AGE_S - 60
    os.utime(path, (long_ago, long_ago))
    return path


async def test_old_files_that_no_row_names_go(runtime: Runtime, tmp_path: Path) -> None:
    root = runtime.settings.artifact_dir
    known, fresh = await uploaded(runtime, tmp_path), await keeping.keep(await picture(tmp_path), runtime.artifacts)
    aged(root / known.key)
    aged(root / f"ab/{uuid4()}.png")
    aged(root / f"ab/.{uuid4()}.png.part")
    aged(root / "ab/a person's own.txt")
    await swept(runtime)
    assert kept(runtime) == {known.key, fresh.key, "ab/a person's own.txt"}


async def test_a_directory_full_of_files_that_no_row_knows_is_another_database_s(
    runtime: Runtime, heard: Heard
) -> None:
    for _ in range(50):
        aged(runtime.settings.artifact_dir / f"ab/{uuid4()}.png")
    await swept(runtime)
    assert len(kept(runtime)) == 50
    await heard.until("sweep.refused")


async def test_what_dead_attempts_spooled_goes(runtime: Runtime, database: asyncpg.Connection) -> None:
    spool = runtime.settings.directory / "spool"
    job, worker = await play.delay(act="none"), uuid7()
    await runtime.store.leases.register(worker, host="h", pid=1, queue="arq:queue", version="0", max_jobs=1, lease_s=60)
    await runtime.store.claim(worker, queue="arq:queue", tasks=["play"], limit=1)
    for name in (f"{job.id}.1", f"{uuid4()}.1", "upload-x"):
        aged(spool / name / "file")
        aged(spool / name)
    (spool / f"{uuid4()}.1").mkdir()
    await Sweep(runtime)._sweep_spool()
    left = {path.name for path in spool.iterdir()}
    assert len(left) == 2
    assert f"{job.id}.1" in left
