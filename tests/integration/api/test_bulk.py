"""Many jobs in one call: each of a batch is answered for itself, and a verb touches what fits its filter, once."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import pytest
from uuid_utils.compat import uuid7

from jobrunner.api import bulk, serving
from jobrunner.api.guard.keys import hash_of, new_key
from jobrunner.broker.stream import CANCEL, Notices
from jobrunner.client import matching
from jobrunner.errors import Unavailable
from jobrunner.job import Status
from jobrunner.runtime import Runtime, opened
from jobrunner.settings import Settings
from jobrunner.settings.tables import Key
from jobrunner.store.postgres import Store
from jobrunner.store.rows import NewJob
from tests.integration.api.conftest import problem, submission, submit, working


async def batch(http: aiohttp.ClientSession, *jobs: Any) -> list[dict[str, Any]]:
    async with http.post("/v1/jobs:batch", json={"jobs": jobs}) as answer:
        assert answer.status == 200, await answer.text()
        data: list[dict[str, Any]] = (await answer.json())["data"]
    return data


async def changes(http: aiohttp.ClientSession, verb: str, **wanted: Any) -> dict[str, Any]:
    async with http.post(f"/v1/jobs:{verb}", json=wanted) as answer:
        assert answer.status == 200, await answer.text()
        told: dict[str, Any] = await answer.json()
    return told


async def counts(http: aiohttp.ClientSession, verb: str, **wanted: Any) -> tuple[int, int, bool]:
    told = await changes(http, verb, **wanted)
    assert told["has_more"] is (told["next_cursor"] is not None)
    return told["matched"], told["changed"], told["has_more"]


async def statuses(runtime: Runtime, *ids: str) -> list[Status]:
    return [(await runtime.client.get(UUID(id))).status for id in ids]


# ---- batches -----------------------------------------------------------------------------------


async def test_each_of_a_batch_is_answered_for_itself(http: aiohttp.ClientSession) -> None:
    first, unknown, wrong, null, none, surrogate, last = await batch(
        http,
        submission(record_id="a"),
        submission(task="api_pant"),
        submission(params={"width": "wide"}),
        submission(params={"colour": "red\0"}),
        "no object",
        "\ud800",
        submission(record_id="z"),
    )
    refused = (unknown, wrong, null, none, surrogate)
    assert [each["status"] for each in (first, *refused, last)] == [202, 404, 422, 422, 422, 422, 202]
    assert unknown["problem"]["code"] == "unknown_task"
    assert [each["path"] for each in wrong["problem"]["errors"]] == ["params.width"]
    assert [each["path"] for each in null["problem"]["errors"]] == ["params.colour"]
    assert none["problem"]["code"] == "invalid_request"
    for each, record_id in ((first, "a"), (last, "z")):
        async with http.get(each["job"]["urls"]["self"]) as answer:
            assert (await answer.json())["record_id"] == record_id


async def test_a_key_that_comes_twice_in_a_batch_is_one_job(http: aiohttp.ClientSession) -> None:
    job_id = await submit(http, idempotency_key="before")
    other = submission(params={"colour": "green"}, idempotency_key="within")
    answers = await batch(
        http,
        submission(idempotency_key="within"),
        submission(idempotency_key="within"),
        other,
        submission(idempotency_key="before"),
    )
    assert [each["status"] for each in answers] == [202, 202, 422, 202]
    assert answers[0] == answers[1]
    assert answers[2]["problem"]["code"] == "idempotency_key_reused"
    assert answers[3]["job"]["id"] == job_id


async def test_thousands_go_in_by_a_few_statements(
    http: aiohttp.ClientSession, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, sizes = Store.insert, list[int]()

    async def counted(store: Store, jobs: Sequence[NewJob]) -> Any:
        sizes.append(len(jobs))
        return await insert(store, jobs)

    monkeypatch.setattr(Store, "insert", counted)
    answers = await batch(http, *({"task": "api_paint", "params": {"width": width}} for width in range(2000)))
    assert {each["status"] for each in answers} == {202}
    ids = [UUID(each["job"]["id"]) for each in answers]
    rows = await database.fetch("SELECT id, (params ->> 'width')::int AS width FROM jobrunner.jobs ORDER BY width")
    assert [row["id"] for row in rows] == ids
    assert sizes == [bulk._AT_ONCE] * (2000 // bulk._AT_ONCE)


async def test_what_is_no_batch_is_refused_whole(http: aiohttp.ClientSession, subtests: pytest.Subtests) -> None:
    bodies: dict[str, Any] = {
        "nothing": {"jobs": []},
        "too many": {"jobs": [0] * 10_001},
        "no list": {"jobs": submission()},
        "more": {"jobs": [submission()], "task": "api_paint"},
    }
    for name, body in bodies.items():
        with subtests.test(name):
            async with http.post("/v1/jobs:batch", json=body) as answer:
                await problem(answer, 422, "invalid_request")
    async with http.post("/v1/jobs:batch", json={"jobs": [submission()]}, headers={"Idempotency-Key": "k"}) as answer:
        assert "`idempotency_key`" in (await problem(answer, 422, "invalid_request"))["detail"]
    large = {"jobs": [{**submission(), "metadata": {"filler": "x" * 320_000}}]}
    async with http.post("/v1/jobs:batch", json=large) as answer:
        await problem(answer, 413, "body_too_large")


async def test_postgres_goes_away_between_two_parts_of_a_batch(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, asked = Store.insert, list[int]()

    async def once(store: Store, jobs: Sequence[NewJob]) -> Any:
        asked.append(len(jobs))
        if len(asked) > 1:
            raise Unavailable("Postgres did not answer.")
        return await insert(store, jobs)

    monkeypatch.setattr(Store, "insert", once)
    monkeypatch.setattr(bulk, "_AT_ONCE", 2)
    answers = await batch(http, *(submission() for _ in range(6)))
    assert [each["status"] for each in answers] == [202, 202, 503, 503, 503, 503]
    assert answers[-1]["problem"]["retryable"]
    assert asked == [2, 2]
    async with http.post("/v1/jobs:batch", json={"jobs": [submission()] * 3}) as answer:
        await problem(answer, 503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0


# ---- verbs for all that fit --------------------------------------------------------------------


async def test_all_that_fit_are_cancelled_page_by_page(
    runtime: Runtime, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "_PAGE", 2)
    mine = [await submit(http, record_id="mine") for _ in range(5)]
    other = await submit(http, record_id="other")
    first = await changes(http, "cancel", record_id="mine", limit=3)
    assert (first["matched"], first["changed"], first["has_more"]) == (3, 3, True)
    assert await statuses(runtime, *mine) == [Status.PENDING] * 2 + [Status.CANCELLED] * 3
    assert await counts(http, "cancel", record_id="mine", limit=3, cursor=first["next_cursor"]) == (2, 2, False)
    assert await statuses(runtime, *mine, other) == [Status.CANCELLED] * 5 + [Status.PENDING]
    assert await counts(http, "cancel", record_id="mine") == (0, 0, False)


async def test_running_ones_are_asked_to_end_once(
    runtime: Runtime, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[tuple[str, Sequence[UUID]]]()

    async def send(_: Notices, channel: str, ids: Sequence[UUID]) -> None:
        if ids:
            told.append((channel, ids))

    monkeypatch.setattr(Notices, "send", send)
    worker, queue = uuid7(), runtime.settings.worker.queue
    await runtime.store.leases.register(worker, host="h", pid=1, queue=queue, version="0", max_jobs=1, lease_s=60)
    running = UUID(await submit(http))
    await runtime.store.claim(worker, queue=queue, tasks=["api_paint"], limit=1)
    assert await counts(http, "cancel", status=["in_progress"]) == (1, 1, False)
    assert (await runtime.client.get(running)).cancel_requested_at is not None
    assert await counts(http, "cancel", status=["in_progress"]) == (1, 0, False)
    await runtime.client.telling.drain()
    assert told == [(CANCEL, [running])]


async def test_all_that_fit_run_again(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    async with working(runtime):
        broken = [await submit(http, params={"fails": True}, metadata={"order": 7}) for _ in range(3)]
        other = await submit(http, params={"fails": True}, metadata={"order": 8})
        for id in (*broken, other):
            await runtime.client.wait(UUID(id), 30)
        assert await counts(http, "retry", metadata={"order": 7}) == (3, 3, False)
        ended = [await runtime.client.wait(UUID(id), 30) for id in broken]
    assert [job.fence for job in ended] == [2] * 3
    assert (await runtime.client.get(UUID(other))).fence == 1


async def test_a_round_of_retries_comes_to_each_job_once(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    """However fast they fail again: else a caller who goes on while there is more would buy for ever."""
    ids = [await submit(http) for _ in range(3)]
    await changes(http, "cancel", status=["pending"])
    retried, query = 0, {"limit": 1}
    while True:
        told = await changes(http, "retry", status=["cancelled"], **query)
        retried += told["changed"]
        await changes(http, "cancel", status=["pending"])  # they ended badly again
        if not told["has_more"]:
            break
        query["cursor"] = told["next_cursor"]
    assert retried == 3
    assert [len((await runtime.client.get(UUID(id))).errors) for id in ids] == [1] * 3


async def test_a_filter_must_say_which_jobs(http: aiohttp.ClientSession, subtests: pytest.Subtests) -> None:
    await submit(http)
    empty: list[dict[str, Any]] = [{}, {"limit": 5}, {"status": []}, {"metadata": {}}]
    for verb in ("cancel", "retry"):
        for body in empty:
            with subtests.test(verb, body=body):
                async with http.post(f"/v1/jobs:{verb}", json=body) as answer:
                    told = await problem(answer, 422, "invalid_request")
                assert "at least one filter" in told["detail"]
    for verb, foreign in (("cancel", "completed"), ("retry", "pending")):
        async with http.post(f"/v1/jobs:{verb}", json={"status": ["failed", foreign]}) as answer:
            told = await problem(answer, 422, "invalid_request")
        assert foreign in told["detail"]
    async with http.get("/v1/jobs", params={"status": "pending"}) as answer:
        assert len((await answer.json())["data"]) == 1


# ---- bound callers -----------------------------------------------------------------------------


@pytest.fixture
async def tenants(settings: Settings) -> AsyncIterator[tuple[aiohttp.ClientSession, aiohttp.ClientSession]]:
    """Sessions of two callers, who are bound to the users ann and bob."""
    texts = {"ann": new_key(), "bob": new_key()}
    keys = {name: Key(hash=hash_of(text), scopes=("admin",), user_id=name) for name, text in texts.items()}
    async with opened(settings.model_copy(update={"keys": keys})) as runtime, serving(runtime) as url:
        ann, bob = (aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {text}"}) for text in texts.values())
        async with ann, bob:
            yield ann, bob


async def test_equal_keys_of_two_users_are_two_jobs(
    tenants: tuple[aiohttp.ClientSession, aiohttp.ClientSession], database: asyncpg.Connection
) -> None:
    ann, bob = tenants
    mine = {"task": "api_paint", "params": {}, "idempotency_key": "order-1"}
    [first], [other] = await batch(ann, mine), await batch(bob, {**mine, "params": {"colour": "green"}})
    assert (first["status"], other["status"]) == (202, 202)
    assert first["job"]["id"] != other["job"]["id"]
    assert await batch(ann, mine) == [first]
    rows = await database.fetch("SELECT id::text, user_id FROM jobrunner.jobs")
    assert {tuple(row) for row in rows} == {(first["job"]["id"], "ann"), (other["job"]["id"], "bob")}
    [refused] = await batch(bob, submission(params={"user_id": "ann"}))
    assert (refused["status"], refused["problem"]["code"]) == (403, "forbidden")


async def test_a_bound_caller_touches_only_its_own(
    tenants: tuple[aiohttp.ClientSession, aiohttp.ClientSession], database: asyncpg.Connection
) -> None:
    for http in tenants:
        await submit(http)
    ann, bob = tenants
    assert await counts(ann, "cancel", task="api_paint") == (1, 1, False)
    assert await counts(bob, "retry", status=["cancelled"]) == (0, 0, False)
    for verb in ("cancel", "retry"):
        async with bob.post(f"/v1/jobs:{verb}", json={"user_id": "ann"}) as answer:
            await problem(answer, 403, "forbidden")
    rows = await database.fetch("SELECT user_id, status FROM jobrunner.jobs")
    assert {tuple(row) for row in rows} == {("ann", "cancelled"), ("bob", "pending")}
