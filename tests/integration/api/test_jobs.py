"""/v1/jobs: waiting for the end, pages, cancel and retry."""

import asyncio
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import pytest

from jobrunner.api import serving
from jobrunner.runtime import Runtime
from tests.integration.api.conftest import problem, submission, submit, working


async def test_a_caller_may_wait_for_the_end(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    async with working(runtime):
        async with http.post("/v1/jobs", json=submission(), headers={"Prefer": "wait=30"}) as answer:
            assert answer.status == 200
            assert answer.headers["Preference-Applied"] == "wait=30"
            job = await answer.json()
        assert (job["status"], job["result"], job["attempt"]) == ("completed", {"colour": "blue"}, 1)
        assert [(step["name"], step["state"]) for step in job["steps"]] == [("mix", "done")]
        assert job["completed_at"].endswith("Z")

        job_id = await submit(http, params={"fails": True})
        async with http.get(f"/v1/jobs/{job_id}", headers={"Prefer": "wait=30"}) as answer:
            failed = await answer.json()
        assert (failed["status"], failed["error"]["code"]) == ("failed", "brush_broken")

        async with http.get("/readyz") as answer:
            body = await answer.json()
            assert answer.status == 200, body
        assert {name for name, check in body["checks"].items() if check["ok"]} == {
            "postgres",
            "redis",
            "migrations",
            "workers",
        }


async def test_a_wait_that_is_too_short_answers_what_there_is(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/jobs", json=submission(), headers={"Prefer": "wait=1"}) as answer:
        assert answer.status == 202
        url = answer.headers["Location"]
    async with http.get(url, headers={"Prefer": "wait=0"}) as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "pending")
    async with http.get(f"/v1/jobs/{uuid4()}", headers={"Prefer": "wait=9"}) as answer:
        await problem(answer, 404, "not_found")


async def test_a_repeated_key_gets_the_same_answer(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    answers = []
    async with working(runtime):
        for headers in ({}, {"Prefer": "wait=30"}, {"Prefer": "wait=30"}, {}):
            async with http.post("/v1/jobs", json=submission(idempotency_key="k"), headers=headers) as answer:
                answers.append((answer.status, await answer.json()))
    assert [status for status, _ in answers] == [202, 200, 200, 202]
    assert answers[1] == answers[2]
    assert answers[0] == answers[3]
    assert (answers[1][1]["id"], answers[1][1]["attempt"]) == (answers[0][1]["id"], 1)


async def test_a_server_that_stops_answers_those_who_wait(runtime: Runtime) -> None:
    async with aiohttp.ClientSession() as session:
        async with serving(runtime) as url:
            waiting = asyncio.create_task(
                session.post(f"{url}/v1/jobs", json=submission(), headers={"Prefer": "wait=60"})
            )
            async with asyncio.timeout(10):
                while not runtime.client._waiting._awaited:  # noqa: ASYNC110  # the server tells nobody that it waits
                    await asyncio.sleep(0)
        assert (await waiting).status == 202


async def test_pages_show_every_job_once_newest_first(http: aiohttp.ClientSession) -> None:
    ids = [await submit(http, params={"user_id": f"u{number % 2}"}) for number in range(5)]
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        async with http.get("/v1/jobs", params=query) as answer:
            page = await answer.json()
        seen += [job["id"] for job in page["data"]]
        assert page["has_more"] is (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ids[::-1]


async def test_pages_stay_whole_while_jobs_come_and_go(
    http: aiohttp.ClientSession, database: asyncpg.Connection
) -> None:
    ids = [await submit(http) for _ in range(4)]
    async with http.get("/v1/jobs", params={"limit": "2"}) as answer:
        first = await answer.json()
    await submit(http)
    await database.execute("DELETE FROM jobrunner.jobs WHERE id = $1", UUID(first["data"][-1]["id"]))
    async with http.get("/v1/jobs", params={"limit": "2", "cursor": first["next_cursor"]}) as answer:
        rest = await answer.json()
    assert [job["id"] for job in first["data"] + rest["data"]] == ids[::-1]
    assert rest["has_more"] is False


async def test_a_list_holds_what_fits_all_its_filters(http: aiohttp.ClientSession, subtests: pytest.Subtests) -> None:
    async def created(number: int) -> str:
        async with http.get(f"/v1/jobs/{ids[number]}") as answer:
            return str((await answer.json())["created_at"])

    ids = [
        await submit(http, record_id="a", metadata={"order": 7, "tags": ["x", "y"]}),
        await submit(http, record_id="b-2", metadata={"order": "7"}),
        await submit(http, params={"user_id": "u2", "colour": 'a "Quo_ted" one'}),
        await submit(http, record_id="a", params={"user_id": "u2", "colour": "Scarlet"}),
    ]
    async with http.post(f"/v1/jobs/{ids[3]}/cancel") as answer:
        assert answer.status == 202
    wanted: list[tuple[dict[str, str], list[int]]] = [
        ({"status": "pending"}, [2, 1, 0]),
        ({"status": "failed"}, []),
        ({"status": "failed,cancelled"}, [3]),
        ({"user_id": "u2"}, [3, 2]),
        ({"record_id": "a"}, [3, 0]),
        ({"record_id": "a", "user_id": "u1", "task": "api_paint", "module": "image"}, [0]),
        ({"task": "another"}, []),
        ({"module": "another"}, []),
        ({"metadata": '{"order":7}'}, [0]),
        ({"metadata": '{"tags":["y"],"order":7}'}, [0]),
        ({"metadata": '{"order":8}'}, []),
        ({"text": "BLUE"}, [1, 0]),
        ({"text": "u2 scarl", "record_id": "a"}, [3]),
        ({"text": "u2 blue"}, []),
        ({"text": "colour"}, []),
        ({"text": "before it ran"}, [3]),
        ({"text": "%"}, []),
        ({"text": '"quo_ted"'}, [2]),
        ({"text": "quo%ted"}, []),
        ({"text": "B-2"}, [1]),
        ({"text": ids[1]}, [1]),
        ({"text": ids[0][:4].upper()}, [3, 2, 1, 0]),
        ({"text": ids[0][9:]}, []),
        ({"created_after": await created(2)}, [3, 2]),
        ({"created_before": await created(2)}, [1, 0]),
        ({"created_after": await created(1), "created_before": await created(3)}, [2, 1]),
    ]
    for query, expected in wanted:
        with subtests.test(**query):
            async with http.get("/v1/jobs", params=query) as answer:
                assert [ids.index(job["id"]) for job in (await answer.json())["data"]] == expected


async def test_a_bad_query_is_named(http: aiohttp.ClientSession, subtests: pytest.Subtests) -> None:
    queries = {
        "cursor=garbage": "cursor",
        "limit=201": "limit",
        "status=done": "status.0",
        "status=failed,": "status.1",
        "metadata=[1]": "metadata",
        "metadata={": "metadata",
        'metadata={"a":"\\u0000"}': "metadata.a",
        "created_after=2026-03-01": "created_after",
        "colour=red": "colour",
        "task=a&task=b": "task",
        "user_id=%00": "user_id",
        "text=%20": "text",
    }
    for query, path in queries.items():
        with subtests.test(query):
            async with http.get(f"/v1/jobs?{query}") as answer:
                document = await problem(answer, 422, "invalid_request")
            assert [each["path"] for each in document["errors"]] == [path]


async def test_cancel_then_retry(http: aiohttp.ClientSession) -> None:
    job_id = await submit(http)
    async with http.post(f"/v1/jobs/{job_id}/retry") as answer:
        assert "pending" in (await problem(answer, 409, "conflict"))["detail"]
    async with http.post(f"/v1/jobs/{job_id}/cancel") as answer:
        assert (answer.status, (await answer.json())["status"]) == (202, "cancelled")
    async with http.post(f"/v1/jobs/{job_id}/cancel") as answer:
        await problem(answer, 409, "conflict")
    async with http.post(f"/v1/jobs/{job_id}/retry") as answer:
        job = await answer.json()
    assert (answer.status, job["status"], job["errors"][-1]["code"]) == (202, "pending", "retried_by_hand")


async def test_no_such_job(http: aiohttp.ClientSession, subtests: pytest.Subtests) -> None:
    for name in ("nothing", "0198c5a4-5f4e-7cc3-8f5b-0d6f6a1f1f6e", "%00", "%ED%A0%80", "a" * 4000):
        for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
            with subtests.test(name[:40], method=method, path=path):
                async with http.request(method, f"/v1/jobs/{name}{path}") as answer:
                    await problem(answer, 404, "not_found")
