"""A FastAPI application that moved here from Celery: its lifespan opens a JobRunner, its handlers call `.delay`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from jobrunner import JobRunner
from jobrunner.errors import NoRunner
from jobrunner.tasks.image import generate_scene_image

SCENE = {"scene_description": "a lighthouse", "scene_number": 1, "user_id": "u1"}


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with JobRunner():
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/scenes")
async def submit_scene(scene: dict[str, str | int]) -> dict[str, str]:
    job = await generate_scene_image.delay(**scene)
    return {"id": str(job.id), "status": job.status}


async def test_a_handler_submits_through_the_runner_that_its_lifespan_opened(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBRUNNER_DATABASE_URL", database_url)
    monkeypatch.setenv("JOBRUNNER_REDIS_URL", redis_url)
    monkeypatch.setenv("JOBRUNNER_DATA_DIR", str(tmp_path))
    transport = httpx.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://app") as http:
        answer = await http.post("/scenes", json=SCENE)
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    connection = await asyncpg.connect(database_url)
    row = await connection.fetchrow("SELECT id, task, user_id, status FROM image_generations")
    await connection.close()
    assert row is not None
    assert tuple(row) == (UUID(answer.json()["id"]), "generate_scene_image", "u1", "pending")


async def test_delay_without_an_open_runner_says_how_to_open_one() -> None:
    with pytest.raises(NoRunner, match="async with JobRunner"):
        await generate_scene_image.delay(**SCENE)
