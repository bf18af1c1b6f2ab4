"""The hostile corpus against the real server: each thing gets the answer named for it, and harms nobody else."""

import asyncio
import resource
from contextlib import AsyncExitStack

import aiohttp
import pytest

from jobrunner.api import intake
from jobrunner.runtime import Runtime
from tests.hostile.files import HOSTILE, INERT, STRANGE
from tests.hostile.heads import HEADS
from tests.hostile.slow import CLIENTS, opened_slowly
from tests.hostile.urls import ODD, REFUSED
from tests.integration.api.conftest import problem, raw, submission, submit

LIMIT = 100_000
"""Of uploads, in this directory's settings."""


async def test_hostile_files_are_not_taken(
    runtime: Runtime, http: aiohttp.ClientSession, subtests: pytest.Subtests
) -> None:
    bodies = {name: make() for name, make in {**STRANGE, **HOSTILE}.items()}
    for name, body in bodies.items():
        if len(body) > LIMIT:
            continue
        with subtests.test(name):
            async with http.post("/v1/artifacts", data=body, headers={"Content-Type": "video/mp4"}) as answer:
                await problem(answer, 415 if name in STRANGE else 422, "media_invalid")
    kept = [path for path in runtime.settings.directory.rglob("*") if path.is_file() and "artifacts" in path.parts]
    assert kept == []


async def test_a_polyglot_is_served_as_what_it_passed_for(
    http: aiohttp.ClientSession, subtests: pytest.Subtests
) -> None:
    for name, (make, mime) in INERT.items():
        with subtests.test(name):
            async with http.post("/v1/artifacts", data=make()) as answer:
                assert answer.status == 201, await answer.text()
                shown = await answer.json()
            async with http.get(shown["url"]) as answer:
                assert answer.headers["Content-Type"] == shown["mime"] == mime
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert "script-src" not in answer.headers["Content-Security-Policy"]


async def test_a_file_at_a_forbidden_url_is_refused_before_there_is_a_job(
    http: aiohttp.ClientSession, subtests: pytest.Subtests
) -> None:
    wanted = {"user_id": "u1", "scene_number": 1, "scene_description": "a cat"}
    for url in [each for each in (*REFUSED, *ODD) if each.lower().startswith(("http://", "https://"))]:
        body = submission(task="generate_scene_image", params={**wanted, "references": ["https://example.com/a", url]})
        code = "url_not_allowed" if url.startswith("http") else "invalid_params"
        with subtests.test(url):
            async with http.post("/v1/jobs", json=body) as answer:
                document = await problem(answer, 422, "invalid_request" if "\0" in url else code)
                assert [each["path"] for each in document["errors"]] == ["params.references.1"]
    async with http.get("/v1/jobs") as answer:
        assert (await answer.json())["data"] == []


async def test_strange_heads_are_answered(http: aiohttp.ClientSession, subtests: pytest.Subtests) -> None:
    for name, (head, status) in HEADS.items():
        with subtests.test(name):
            assert await raw(http, head) == status
    await submit(http)


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1500, reason="1,000 sockets are in this process")
async def test_slow_clients_keep_nobody_out_and_are_cut_off(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BODY_S", 10.0)
    async with AsyncExitStack() as stack:
        slow = await opened_slowly(str(http._base_url), CLIENTS, stack)
        await submit(http)
        assert not any(each.answered for each in slow)
        for _ in range(3):
            for each in slow:
                await each.drip()
            await asyncio.gather(*(submit(http) for _ in range(10)))
        async with asyncio.timeout(60):
            assert {await each.status() for each in slow} == {408}
