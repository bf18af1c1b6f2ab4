"""Services, server and worker as processes of their own, killed and started again."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import UUID

import asyncpg
import pytest
import redis.asyncio
from arq.jobs import Job as ArqJob
from arq.jobs import JobStatus

from jobrunner.broker.queue import deserialize
from jobrunner.embedded import RunInfo, find
from tests.processes import Jobrunner, Running, until

LEASE_S = "3"
JOBS = 50
ARQ = str(Path(sys.executable).with_name("arq"))
SETTINGS = "jobrunner.worker.WorkerSettings"


@pytest.fixture
def apart(jobrunner: Jobrunner) -> Jobrunner:
    jobrunner.more["JOBRUNNER_WORKER__LEASE_S"] = LEASE_S
    return jobrunner


@contextmanager
def arq_worker(jobrunner: Jobrunner) -> Iterator[Running]:
    """`arq jobrunner.worker.WorkerSettings`, exactly as typed, once it claims."""
    with Running(jobrunner, (SETTINGS,), program=(ARQ,)) as worker:
        until(lambda: "worker.started" in worker.said() or worker.process.poll() is not None, "the worker claims")
        assert worker.process.poll() is None, worker.said()
        yield worker


def arq_check(jobrunner: Jobrunner) -> int:
    done = subprocess.run([ARQ, "--check", SETTINGS], env=jobrunner.environment, capture_output=True, check=False)
    return done.returncode


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data=data, headers={"Content-Type": "application/json"})  # noqa: S310  # loopback
    with urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def submit_scenes(api: str, count: int) -> list[str]:
    def scene(number: int) -> Any:
        params = {"scene_description": f"Scene {number}", "scene_number": number, "user_id": "u1", "size": "256x256"}
        return {"task": "generate_scene_image", "params": params}

    return [ask(f"{api}/v1/jobs", scene(number))["id"] for number in range(count)]


def rows(run: RunInfo, what: str) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(run.database_url)
        try:
            return list(await connection.fetch(what))
        finally:
            await connection.close()

    return asyncio.run(fetch())


def statuses(run: RunInfo) -> Counter[str]:
    return Counter(row["status"] for row in rows(run, "SELECT status FROM image_generations"))


def unfinished(run: RunInfo) -> list[Any]:
    """What to read where not every job completed."""
    what = "SELECT id, status, fence, failures, crashes, due_at, error, errors FROM jobrunner.jobs"
    return rows(run, f"{what} WHERE status <> 'completed'")


def found(jobrunner: Jobrunner) -> RunInfo:
    run = find(jobrunner.data_dir)
    assert run is not None
    return run


def test_a_killed_worker_loses_no_job_and_buys_none_twice(apart: Jobrunner) -> None:
    with apart.start("services", "--json") as services:
        services.ready()
        run = found(apart)
        with apart.start("serve", "--port", "0", "--json") as serve:
            api = serve.ready()["api"]
            with arq_worker(apart) as worker:
                submit_scenes(api, JOBS)
                until(lambda: 0 < statuses(run)["completed"] < JOBS, "the worker is in the middle")
                worker.process.kill()
                worker.process.wait()
            assert statuses(run)["in_progress"] > 0
            with arq_worker(apart):
                until(lambda: statuses(run)["completed"] == JOBS, "every job completes", lambda: unfinished(run))
            attempts = rows(run, "SELECT fence, crashes, failures FROM jobrunner.jobs")
            assert {(row["fence"], row["crashes"], row["failures"]) for row in attempts} == {(1, 0, 0), (2, 0, 0)}
            assert len(ask(f"{run.sandbox_url}/admin/purchases")) == JOBS


def test_killed_services_lose_no_accepted_job(apart: Jobrunner) -> None:
    with apart.start("services", "--json") as services:
        services.ready()
        with apart.start("serve", "--port", "0", "--json") as serve, arq_worker(apart):
            api = serve.ready()["api"]
            accepted = submit_scenes(api, 20)
            services.process.kill()
            services.process.wait()
            with pytest.raises(HTTPError) as refused:
                ask(f"{api}/v1/jobs?limit=1")
            assert refused.value.code == 503
            assert refused.value.headers["Retry-After"]
            refused.value.close()
            with apart.start("services", "--json") as again:
                again.ready()
                run = found(apart)
                kept = {str(row["id"]) for row in rows(run, "SELECT id FROM image_generations")}
                assert kept == set(accepted)
                until(lambda: statuses(run)["completed"] == 20, "every job completes", lambda: unfinished(run))


def test_arq_s_own_tools_tell_the_truth_while_jobs_run(apart: Jobrunner) -> None:
    assert arq_check(apart) == 1
    with apart.start("services", "--json") as services:
        services.ready()
        run = found(apart)
        assert arq_check(apart) == 1
        slow = ("scene_description=[slow] A lake", "scene_number=1", "user_id=u1", "size=256x256")
        with arq_worker(apart) as worker:
            until(lambda: arq_check(apart) == 0, "the worker's health is told")
            running = apart.json("submit", "generate_scene_image", *slow)["id"]
            until(lambda: statuses(run)["in_progress"] == 1, "it runs")
            done = apart.json("submit", "generate_scene_image", *slow[1:], "scene_description=A lake", "--wait")
            later = apart.json("submit", "generate_scene_image", *slow, "--delay-s", "3600")["id"]
            told = asyncio.run(_arq_tells(run, [running, done["id"], later]))
            assert told == [
                (JobStatus.in_progress, None),
                (JobStatus.complete, done["result"]),
                (JobStatus.deferred, None),
            ]
            worker.process.send_signal(signal.SIGTERM)
            until(lambda: statuses(run)["pending"] == 2, "what still runs is handed back")
            assert worker.process.wait(timeout=30) == 0
        assert arq_check(apart) == 1
        handed = rows(run, f"SELECT fence, failures, crashes FROM jobrunner.jobs WHERE id = '{running}'")
        assert [tuple(row) for row in handed] == [(1, 0, 0)]


async def _arq_tells(run: RunInfo, ids: list[str]) -> list[tuple[JobStatus, Any]]:
    async with redis.asyncio.Redis.from_url(run.redis_url) as client:
        told = []
        for each in ids:
            job = ArqJob(str(UUID(each)), client, _deserializer=deserialize)
            status = await job.status()
            told.append((status, await job.result() if status is JobStatus.complete else None))
        return told


@pytest.mark.apt
def test_redis_cli_and_psql_tell_the_truth(apart: Jobrunner) -> None:
    with apart.start("services", "--json") as services:
        services.ready()
        run = found(apart)
        job = apart.json("submit", "generate_scene_image", "scene_description=A", "scene_number=1", "user_id=u")
        socket = run.redis_url.removeprefix("unix://").partition("?")[0]
        queued = subprocess.run(
            ["redis-cli", "-s", socket, "ZRANGE", "arq:queue", "0", "-1", "WITHSCORES"], capture_output=True, check=True
        )
        assert queued.stdout.split()[0].decode() == job["id"]
        shown = subprocess.run(
            ["psql", run.database_url, "-At", "-c", "SELECT id, status FROM image_generations"],
            env=os.environ,
            capture_output=True,
            check=True,
        )
        assert shown.stdout.decode().strip() == f"{job['id']}|pending"
