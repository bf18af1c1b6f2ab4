"""POST /v1/jobs: what is taken, and every way in which a body is refused."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import aiohttp
import asyncpg
import pytest

from jobrunner.api import intake, jobs
from jobrunner.runtime import Runtime
from tests.integration.api.conftest import problem, raw, submission, submit
from tests.integration.worker.conftest import until


async def test_a_submission_is_accepted_and_shown(http: aiohttp.ClientSession) -> None:
    body = submission(record_id="scene-7", retries=1, metadata={"order": [1, {"x": None}]})
    async with http.post("/v1/jobs", json=body) as answer:
        assert answer.status == 202
        accepted = await answer.json()
        job_id = accepted["id"]
        url = f"/v1/jobs/{job_id}"
        assert answer.headers["Location"] == url
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert accepted == {
        "id": job_id,
        "task_id": job_id,
        "status": "queued",
        "urls": {"self": url, "cancel": f"{url}/cancel", "retry": f"{url}/retry"},
    }
    async with http.get(url) as answer:
        assert answer.status == 200
        job = await answer.json()
    for name in ("due_at", "created_at", "updated_at"):
        assert job.pop(name).endswith("Z")
    assert "No worker is alive" in job.pop("why")
    assert job == {
        "id": job_id,
        "task_id": job_id,
        "task": "api_paint",
        "module": "image",
        "status": "pending",
        "params": {"user_id": "u1", "colour": "blue", "width": 1, "fails": False},
        "result": None,
        "result_url": None,
        "error": None,
        "errors": [],
        "progress": None,
        "progress_note": None,
        "attempt": 0,
        "failures": 0,
        "crashes": 0,
        "retries": 1,
        "user_id": "u1",
        "record_id": "scene-7",
        "metadata": {"order": [1, {"x": None}]},
        "started_at": None,
        "completed_at": None,
        "cancel_requested": False,
        "artifacts": [],
        "steps": [],
    }


async def test_thirty_submits_with_one_key_are_one_job(http: aiohttp.ClientSession) -> None:
    ids = await asyncio.gather(*(submit(http, idempotency_key="order-1") for _ in range(30)))
    assert len(set(ids)) == 1
    async with http.post("/v1/jobs", json=submission(), headers={"Idempotency-Key": "order-1"}) as answer:
        assert (await answer.json())["id"] == ids[0]
    other = submission(params={"colour": "green"}, idempotency_key="order-1")
    async with http.post("/v1/jobs", json=other) as answer:
        await problem(answer, 422, "idempotency_key_reused")


async def test_what_comes_faster_than_postgres_writes_is_to_come_again(
    http: aiohttp.ClientSession, database: asyncpg.Connection, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MOST_WAITING", 3)
    async with database.transaction():
        await database.execute("LOCK TABLE jobrunner.jobs")
        under_way = asyncio.create_task(submit(http))
        await until(lambda: writes(database))
        kept = [asyncio.create_task(submit(http)) for _ in range(3)]
        await until(lambda: is_crowded(runtime))
        async with http.post("/v1/jobs", json=submission()) as answer:
            assert answer.headers["Retry-After"] == "1"
            assert (await problem(answer, 503, "unavailable"))["retryable"]
    ids = await asyncio.gather(under_way, *kept)
    assert await database.fetchval("SELECT count(*) FROM jobrunner.jobs WHERE id = ANY ($1)", ids) == len(ids)
    await submit(http)


async def writes(database: asyncpg.Connection) -> bool:
    """Whether somebody waits for the lock."""
    return bool(await database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def is_crowded(runtime: Runtime) -> bool:
    return runtime.client.waiting_submits == 3


async def test_two_different_keys_in_one_request_are_refused(http: aiohttp.ClientSession) -> None:
    headers = {"Idempotency-Key": "b"}
    async with http.post("/v1/jobs", json=submission(idempotency_key="a"), headers=headers) as answer:
        assert (await problem(answer, 422, "invalid_request"))["errors"][0]["path"] == "idempotency_key"


async def test_a_job_may_be_due_later(http: aiohttp.ClientSession) -> None:
    job_id = await submit(http, run_at="2999-01-01T00:00:00+02:00")
    async with http.get(f"/v1/jobs/{job_id}") as answer:
        assert (await answer.json())["due_at"] == "2998-12-31T22:00:00Z"
    async with http.post("/v1/jobs", json=submission(delay_s=1, run_at="2999-01-01T00:00:00Z")) as answer:
        await problem(answer, 422, "invalid_params")


async def test_a_time_off_the_calendar_is_refused(http: aiohttp.ClientSession) -> None:
    for run_at in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        async with http.post("/v1/jobs", json=submission(run_at=run_at)) as answer:
            await problem(answer, 422, "invalid_params")


async def test_unknown_task_and_wrong_params(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/jobs", json=submission(task="api_pant")) as answer:
        assert "api_paint" in (await problem(answer, 404, "unknown_task"))["detail"]
    async with http.post("/v1/jobs", json=submission(params={"width": "wide", "hue": 1})) as answer:
        document = await problem(answer, 422, "invalid_params")
    assert {each["path"] for each in document["errors"]} == {"params.width", "params.hue"}
    async with http.post("/v1/jobs", json=submission(priority=9)) as answer:
        assert (await problem(answer, 422, "invalid_request"))["errors"][0]["path"] == "priority"


async def test_markup_stays_inert_text(http: aiohttp.ClientSession) -> None:
    colour = "<script>alert(1)</script>\r\nSet-Cookie: a=b"
    job_id = await submit(http, params={"colour": colour})
    async with http.get(f"/v1/jobs/{job_id}") as answer:
        assert answer.content_type == "application/json"
        assert (await answer.json())["params"]["colour"] == colour


BAD_BODIES: list[tuple[bytes, dict[str, str], int, str]] = [
    (b"", {}, 400, "request_invalid"),
    (b'{"task"', {}, 400, "request_invalid"),
    (b"[1]", {}, 400, "request_invalid"),
    (b"[" * 19_000, {}, 400, "request_invalid"),
    (b'{"a":1,"a":2}', {}, 400, "request_invalid"),
    (b'{"a":NaN}', {}, 400, "request_invalid"),
    (b'{"a":1e400}', {}, 400, "request_invalid"),
    (b'{"a":' + b"9" * 5000 + b"}", {}, 422, "invalid_request"),
    (b'{"a":"\xff"}', {}, 400, "request_invalid"),
    (b"{}", {"Content-Type": "application/json; charset=klingon"}, 400, "request_invalid"),
    (b"{}", {"Content-Type": "application/json; charset=utf-16"}, 400, "request_invalid"),
    (b'{"params":{"a":["\\u0000"]}}', {}, 422, "invalid_request"),
    (b'{"params":{"a":["\\ud800"]}}', {}, 422, "invalid_request"),
    (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
    (gzip.compress(b" " * 10_000_000), {"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
    (b"{}", {"Content-Encoding": "rot13"}, 415, "unsupported_media_type"),
    (b" " * 20_001, {}, 413, "body_too_large"),
]


async def test_bad_bodies(http: aiohttp.ClientSession, subtests: pytest.Subtests) -> None:
    for body, headers, status, code in BAD_BODIES:
        sent = {"Content-Type": "application/json", **headers}
        with subtests.test(body=repr(body[:24]), **headers):
            async with http.post("/v1/jobs", data=body, headers=sent) as answer:
                await problem(answer, status, code)


async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(http: aiohttp.ClientSession) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 1000

    async with http.post("/v1/jobs", data=chunks(), headers={"Content-Type": "application/json"}) as answer:
        await problem(answer, 413, "body_too_large")


async def test_json_with_a_suffix_or_no_content_type_is_taken(http: aiohttp.ClientSession) -> None:
    body = json.dumps(submission()).encode()
    async with http.post("/v1/jobs", data=body, headers={"Content-Type": "application/cloud+json"}) as answer:
        assert answer.status == 202
    async with http.post("/v1/jobs", data=body, skip_auto_headers=["Content-Type"]) as answer:
        assert answer.status == 202


async def test_slow_and_broken_requests(http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await raw(http, b"POST /v1/jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n") == 400
    assert await raw(http, b"POST /v1/jobs HTTP/1.1\r\nIdempotency-Key: \xff\r\nContent-Length: 2\r\n\r\n{}") == 422
    monkeypatch.setattr(intake, "BODY_S", 0.05)
    assert await raw(http, b"POST /v1/jobs HTTP/1.1\r\nContent-Length: 20\r\n\r\n{") == 408
