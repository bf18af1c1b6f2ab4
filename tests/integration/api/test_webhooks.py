"""A job's webhook, from the submission that names it to the receiver that hears of its end, and again."""

import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from jobrunner.api import serving
from jobrunner.errors import ConfigError
from jobrunner.net.signing import is_standard
from jobrunner.runtime import Runtime, opened
from jobrunner.settings import Settings
from jobrunner.settings.tables import Http, Net, Webhooks
from tests.integration.api.conftest import api_paint, problem, submission, submit, working
from tests.receiver import SECRET, SIGNED, SOON_S, Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def settings(settings: Settings, receiver: Receiver) -> Settings:
    return settings.model_copy(update={"webhooks": SIGNED, "net": Net(allow=(receiver.host,))})


async def told(http: aiohttp.ClientSession, id: str) -> dict[str, Any]:
    async with http.get(f"/v1/jobs/{id}/webhooks") as answer:
        assert answer.status == 200
        shown: dict[str, Any] = await answer.json()
        return shown


async def delivered(runtime: Runtime, http: aiohttp.ClientSession, id: str) -> dict[str, Any]:
    """All deliveries about a job, once they have ended."""
    for each in (await told(http, id))["data"]:
        await runtime.client.wait(UUID(each["id"]), SOON_S)
    return await told(http, id)


@pytest.mark.parametrize(("fails", "type"), [(False, "job.completed"), (True, "job.failed")])
async def test_the_receiver_gets_what_the_api_shows_signed(
    fails: bool, type: str, runtime: Runtime, http: aiohttp.ClientSession, receiver: Receiver
) -> None:
    async with working(runtime):
        id = await submit(http, webhook=receiver.url, params={"fails": fails})
        [message] = await receiver.has(1)
        shown = await delivered(runtime, http, id)
    assert is_standard(SECRET, message.headers, message.raw, time.time())
    assert message.headers["Content-Type"] == "application/json"
    async with http.get(f"/v1/jobs/{id}") as answer:
        job = await answer.json()
    body = message.body
    assert (body["type"], body["timestamp"]) == (type, job["completed_at"])
    assert body["data"] == {key: value for key, value in job.items() if key not in ("params", "steps", "why")}
    [delivery] = shown["data"]
    assert (delivery["message_id"], delivery["url"], delivery["type"]) == (message.id, receiver.url, type)
    assert (delivery["status"], delivery["attempts"], delivery["last_answer"]) == ("completed", 1, "HTTP 204")


async def test_deliveries_are_in_no_list_of_jobs_and_nobody_submits_them(
    runtime: Runtime, http: aiohttp.ClientSession, receiver: Receiver
) -> None:
    async with working(runtime):
        id = await submit(http, webhook=receiver.url)
        await receiver.has(1)
    async with http.get("/v1/jobs") as answer:
        assert [job["id"] for job in (await answer.json())["data"]] == [id]
    async with http.get("/v1/jobs?module=webhook") as answer:
        assert [job["task"] for job in (await answer.json())["data"]] == ["deliver_webhook"]
    async with http.get("/v1/tasks") as answer:
        assert "deliver_webhook" not in {task["name"] for task in (await answer.json())["data"]}
    async with http.post("/v1/jobs", json=submission(task="deliver_webhook", params={})) as answer:
        await problem(answer, 404, "unknown_task")


async def test_a_replay_brings_the_same_message(
    runtime: Runtime, http: aiohttp.ClientSession, receiver: Receiver
) -> None:
    async with working(runtime):
        id = await submit(http, webhook=receiver.url)
        await receiver.has(1)
        await delivered(runtime, http, id)
        async with http.post(f"/v1/jobs/{id}/webhooks/replay") as answer:
            assert answer.status == 202
            [again] = (await answer.json())["data"]
        first, second = await receiver.has(2)
    assert (again["status"], again["attempts"], again["last_answer"]) == ("pending", 0, None)
    assert again["message_id"] == first.id == second.id
    assert first.raw == second.raw


async def test_gone_is_shown_in_words_and_told_nothing_more_until_a_replay(
    runtime: Runtime, http: aiohttp.ClientSession, receiver: Receiver
) -> None:
    receiver.answers = [410, 204]
    async with working(runtime):
        first = await submit(http, webhook=receiver.url)
        await receiver.has(1)
        shown = await delivered(runtime, http, first)
        [disabled] = shown["disabled"]
        assert (disabled["url"], disabled["reason"]) == (receiver.url, "The webhook answers HTTP 410 (Gone).")
        assert shown["data"][0]["status"] == "failed"
        assert "until a replay" in shown["data"][0]["last_answer"]
        second = await submit(http, webhook=receiver.url)
        await runtime.client.wait(UUID(second), SOON_S)
        assert await told(http, second) == {"data": [], "disabled": [disabled]}
        async with http.post(f"/v1/jobs/{second}/webhooks/replay") as answer:
            assert answer.status == 202
        _, message = await receiver.has(2)
        assert message.body["data"]["id"] == second
    assert (await told(http, second))["disabled"] == []


async def test_there_is_nothing_to_replay_before_the_end_or_without_a_webhook(
    http: aiohttp.ClientSession, receiver: Receiver
) -> None:
    for id in (await submit(http, webhook=receiver.url), await submit(http)):
        async with http.post(f"/v1/jobs/{id}/webhooks/replay") as answer:
            await problem(answer, 409, "conflict")
    for method, path in (("GET", ""), ("POST", "/replay")):
        async with http.request(method, f"/v1/jobs/{UUID(int=1)}/webhooks{path}") as answer:
            await problem(answer, 404, "not_found")


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.com/told", "https://127.0.0.1/", "https://0x7f.1/", "https://[::ffff:10.0.0.1]/"),
        *("https://169.254.169.254/latest", "https://user:word@example.com/", "ftp://example.com/", "", "nonsense"),
    ],
)
async def test_a_webhook_that_leads_inside_is_refused(url: str, http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/jobs", json=submission(webhook=url)) as answer:
        await problem(answer, 422, "url_not_allowed")


async def test_one_that_leads_inside_only_when_it_is_asked_is_never_reached(
    runtime: Runtime, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """The guard of the socket has the last word: a name may lead elsewhere later, and a row may be anybody's."""
    async with working(runtime):
        monkeypatch.setattr(runtime.client._submits, "_check_webhook", lambda _url: None)
        id = await submit(http, webhook=f"https://127.0.0.2:{receiver.port}/told")
        await runtime.client.wait(UUID(id), SOON_S)
        [delivery] = (await delivered(runtime, http, id))["data"]
    assert (delivery["status"], delivery["attempts"]) == ("failed", 1)
    assert "not public" in delivery["last_answer"]
    assert receiver.had == []


async def test_the_same_key_with_another_webhook_is_another_request(
    http: aiohttp.ClientSession, receiver: Receiver
) -> None:
    body = submission(webhook=receiver.url, idempotency_key="k1")
    async with http.post("/v1/jobs", json=body) as answer:
        assert answer.status == 202
    async with http.post("/v1/jobs", json=body | {"webhook": f"{receiver.url}/2"}) as answer:
        await problem(answer, 422, "idempotency_key_reused")


async def test_applications_name_theirs_among_the_options(runtime: Runtime, receiver: Receiver) -> None:
    async with working(runtime):
        job = await api_paint.options(webhook=receiver.url).delay(colour="blue")
        [message] = await receiver.has(1)
    assert message.body["data"]["id"] == str(job.id)


async def test_a_server_without_a_secret_says_so(settings: Settings) -> None:
    unsigned = settings.model_copy(update={"webhooks": Webhooks()})
    async with (
        opened(unsigned) as runtime,
        serving(runtime) as url,
        aiohttp.ClientSession(url) as http,
        http.post("/v1/jobs", json=submission(webhook="https://example.com/told")) as answer,
    ):
        document = await problem(answer, 422, "invalid_request")
    assert "webhooks.secret" in document["detail"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"webhooks": Webhooks(urls=("https://example.com/",))}, r"webhooks\.secret"),
        ({"webhooks": Webhooks(), "http": Http(public_url="https://jobs.example.com")}, r"webhooks\.secret"),
        ({"webhooks": SIGNED.model_copy(update={"urls": ("https://10.0.0.1/",)})}, r"webhooks\.urls.*net\.allow"),
    ],
)
async def test_settings_that_cannot_work_stop_the_start(changes: dict[str, Any], says: str, settings: Settings) -> None:
    with pytest.raises(ConfigError, match=says):
        async with opened(settings.model_copy(update=changes)):
            pass
