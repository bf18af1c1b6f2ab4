"""GET /v1/artifacts: what jobs made, and nothing that somebody sent."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import pytest
from uuid_utils.compat import uuid7

from jobrunner.settings import Settings
from tests.integration.api.conftest import problem, submit
from tests.integration.api.keyring import keyed, upload

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
INSERT = """
INSERT INTO jobrunner.artifacts (id, job_id, step, kind, mime, size_bytes, sha256, key, user_id, created_at)
VALUES ($1, $2, $3, $4, $4 || '/x', 1, '', '', $5, $6)
"""


class Studio:
    """Makes files, each a minute newer than the one before, as steps of jobs would."""

    def __init__(self, database: asyncpg.Connection) -> None:
        self._database = database
        self._now = BEGIN

    async def make(self, job: str, *, kind: str = "image", step: str = "generate", user: str = "u1") -> str:
        self._now += timedelta(minutes=1)
        id = uuid7()
        await self._database.execute(INSERT, id, UUID(job), step, kind, user, self._now)
        return str(id)


@pytest.fixture
def studio(database: asyncpg.Connection) -> Studio:
    return Studio(database)


async def ids(http: aiohttp.ClientSession, **query: str) -> list[str]:
    return [each["id"] for each in (await listed(http, **query))["data"]]


async def listed(http: aiohttp.ClientSession, **query: str) -> dict[str, Any]:
    async with http.get("/v1/artifacts", params=query) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def test_files_come_newest_first_each_with_its_job_page_by_page(
    http: aiohttp.ClientSession, studio: Studio
) -> None:
    job = await submit(http)
    made = [await studio.make(job, step=f"scene-{n}") for n in range(5)]
    whole = await listed(http)
    assert [each["id"] for each in whole["data"]] == made[::-1]
    assert (whole["has_more"], whole["next_cursor"]) == (False, None)
    newest = whole["data"][0]
    assert (newest["job_id"], newest["task"], newest["user_id"]) == (job, "api_paint", "u1")
    assert (newest["url"], newest["created_at"]) == (f"/v1/artifacts/{made[-1]}", "2026-01-01T00:05:00Z")
    paged: list[str] = []
    query = {"limit": "2"}
    while len(paged) < len(made):
        page = await listed(http, **query)
        paged += [each["id"] for each in page["data"]]
        assert page["has_more"] == (len(paged) < len(made))
        query["cursor"] = page["next_cursor"]
    assert paged == made[::-1]


async def test_it_is_narrowed_by_kind_task_and_user(http: aiohttp.ClientSession, studio: Studio) -> None:
    painted = await submit(http)
    spoken = await submit(http, task="generate_speech", params={"user_id": "u2", "text": "Hello."})
    picture = await studio.make(painted)
    clip = await studio.make(painted, kind="video")
    sound = await studio.make(spoken, kind="audio", user="u2")
    assert await ids(http, kind="video") == [clip]
    assert await ids(http, task="generate_speech") == [sound]
    assert await ids(http, user_id="u1") == [clip, picture]
    assert await ids(http, user_id="u2", kind="image") == []


async def test_what_somebody_sent_is_no_result(http: aiohttp.ClientSession, studio: Studio) -> None:
    job = await submit(http)
    await upload(http)
    await studio.make(job, step="input.0123456789abcdef")
    own = await studio.make(job, step="input.of-the-task's-own")
    assert await ids(http) == [own]


async def test_a_bound_key_sees_its_own_users_files(settings: Settings, studio: Studio) -> None:
    async with keyed(settings, a={"user_id": "a"}, b={"user_id": "b"}) as ring:
        async with ring.session("a") as http:
            of_a = await studio.make(await submit(http, params={"user_id": "a"}), user="a")
            assert await ids(http) == [of_a]
        async with ring.session("b") as http:
            assert await ids(http) == await ids(http, user_id="a") == []


async def test_a_cursor_that_is_none_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/artifacts", params={"cursor": "yesterday"}) as answer:
        document = await problem(answer, 422, "invalid_request")
        assert [each["path"] for each in document["errors"]] == ["cursor"]
