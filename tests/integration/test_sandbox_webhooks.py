"""The sandbox's webhooks where no SDK looks: what is called when, how often, and where to."""

import asyncio
import base64
import hmac
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jobrunner.sandbox.app import running
from tests.integration.drivers.inputs import clip, titled
from tests.receiver import Receiver

REPLICATE = "/replicate/v1/models/black-forest-labs/flux-schnell/predictions"
FAL = "/fal/fal-ai/flux/schnell"
LUMA = "/luma/dream-machine/v1/generations/video"
SYNC = "/sync/v2/generate"
ENDPOINTS = "/openai/v1/webhook_endpoints"
OUTSIDE = ["https://example.com/hook", "http://10.0.0.1/hook", "http://127.0.0.1.example.com/", "file:///etc/passwd"]
SPEED = 100.0


def session(base_url: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(base_url, headers={"Authorization": "Bearer test-key"})


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with running(tmp_path, speed=SPEED) as sandbox, session(sandbox.base_url) as http:
        yield http


async def post(http: aiohttp.ClientSession, path: str, **body: Any) -> Any:
    async with http.post(path, json=body) as answer:
        assert answer.ok, await answer.text()
        return await answer.json()


async def predict(http: aiohttp.ClientSession, prompt: str, url: str, *events: str) -> Any:
    asked = {"webhook_events_filter": list(events)} if events else {}
    return await post(http, REPLICATE, input={"prompt": prompt}, webhook=url, **asked)


async def settled(http: aiohttp.ClientSession) -> list[dict[str, Any]]:
    """Every call, once none of them waits any more."""
    async with asyncio.timeout(20):
        while True:
            async with http.get("/admin/webhooks") as answer:
                calls: list[dict[str, Any]] = await answer.json()
            if all(call["outcome"] for call in calls):
                return calls
            await asyncio.sleep(0.01)


async def test_a_delivery_that_fails_is_repeated_to_the_byte(http: aiohttp.ClientSession, receiver: Receiver) -> None:
    receiver.answers = [500, 302, 429, 200]
    await predict(http, "a cat", receiver.url)
    posts = [await receiver.next() for _ in range(4)]
    assert len({post.raw for post in posts}) == len({post.headers["webhook-id"] for post in posts}) == 1
    [call] = await settled(http)
    assert (call["tries"], call["said"], call["outcome"]) == (4, "HTTP 200", "delivered")


async def test_a_receiver_that_never_takes_it_is_given_up(http: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    await predict(http, "a cat", f"http://127.0.0.1:{unused_tcp_port}/hook")
    [call] = await settled(http)
    assert (call["tries"], call["outcome"]) == (5, "given up")
    assert "ClientConnectorError" in call["said"]


async def test_calls_survive_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    async with running(tmp_path) as sandbox, session(sandbox.base_url) as http:
        made = await predict(http, "a cat [hang]", receiver.url)
    async with running(tmp_path) as sandbox, session(sandbox.base_url) as http:
        await post(http, f"/replicate/v1/predictions/{made['id']}/cancel")
        assert (await receiver.next()).body["status"] == "canceled"


@pytest.mark.parametrize(
    ("prompt", "events", "told"),
    [
        ("a cat", (), [("completed", "delivered")]),
        ("a cat", ("output",), [("output", "delivered")]),
        ("a cat [fail]", ("output",), [("output", "dropped")]),
        ("a cat [fail]", ("completed",), [("completed", "delivered")]),
        ("a cat", ("start", "logs"), [("logs", "delivered"), ("start", "delivered")]),
    ],
)
async def test_the_filter_chooses_the_events(
    http: aiohttp.ClientSession, receiver: Receiver, prompt: str, events: tuple[str, ...], told: list[tuple[str, str]]
) -> None:
    await predict(http, prompt, receiver.url, *events)
    assert sorted((call["event"], call["outcome"]) for call in await settled(http)) == told


async def test_luma_tells_dreaming_and_the_end_without_a_signature(
    http: aiohttp.ClientSession, receiver: Receiver
) -> None:
    order = {"model": "ray-2", "prompt": "a bear [slow]", "callback_url": receiver.url}
    made = await post(http, LUMA, **order)
    posts = [await receiver.next(), await receiver.next()]
    assert [post.body["state"] for post in posts] == ["dreaming", "completed"]
    assert posts[1].body["id"] == made["id"]
    assert posts[1].body["assets"]["video"].startswith("http://")
    assert not any("signature" in name.lower() for post in posts for name in post.headers)


async def test_sync_signs_the_time_and_the_raw_body(http: aiohttp.ClientSession, receiver: Receiver) -> None:
    uris = [
        f"data:{mime};base64,{base64.b64encode(file).decode()}"
        for mime, file in (("video/mp4", clip()), ("audio/wav", titled("hello")))
    ]
    given = [{"type": "video", "url": uris[0]}, {"type": "audio", "url": uris[1]}]
    order = {"model": "lipsync-2", "input": given, "webhookUrl": receiver.url}
    async with http.post("/sync/v2/generate", json=order, headers={"x-api-key": "test-key"}) as answer:
        made = await answer.json()
    told = await receiver.next()
    async with http.get("/admin/webhooks/secrets/sync") as answer:
        secret = (await answer.json())["secret"]
    at, _, signature = told.headers["Sync-Signature"].removeprefix("t=").partition(",v1=")
    assert signature == hmac.digest(secret.encode(), f"{at}.".encode() + told.raw, "sha256").hex()
    assert (told.body["id"], told.body["status"]) == (made["id"], "COMPLETED")


async def test_what_is_deleted_is_told_to_nobody(http: aiohttp.ClientSession, receiver: Receiver) -> None:
    made = await post(http, LUMA, model="ray-2", prompt="a bear", callback_url=receiver.url)
    async with http.delete(f"/luma/dream-machine/v1/generations/{made['id']}") as answer:
        assert answer.status == 204
    assert {call["outcome"] for call in await settled(http)} == {"dropped"}


@pytest.mark.parametrize("url", OUTSIDE)
async def test_no_call_leaves_the_machine(http: aiohttp.ClientSession, url: str) -> None:
    lipsync = {"model": "lipsync-2", "input": [{"type": "video"}, {"type": "audio"}], "webhookUrl": url}
    orders: list[tuple[str, dict[str, Any]]] = [
        (REPLICATE, {"json": {"input": {"prompt": "x"}, "webhook": url}}),
        (FAL, {"json": {"prompt": "x"}, "params": {"fal_webhook": url}, "headers": {"Authorization": "Key test-key"}}),
        (LUMA, {"json": {"model": "ray-2", "prompt": "x", "callback_url": url}}),
        (SYNC, {"json": lipsync, "headers": {"x-api-key": "test-key"}}),
        (ENDPOINTS, {"json": {"name": "x", "url": url, "event_types": ["video.failed"]}}),
    ]
    for path, order in orders:
        async with http.post(path, **order) as answer:
            assert (answer.status // 100, "calls this machine only" in await answer.text()) == (4, True), path
    async with http.get("/admin/purchases") as answer:
        assert await answer.json() == []


async def test_a_secret_is_kept_and_shown_to_its_owner_alone(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        async with running(tmp_path) as sandbox, session(sandbox.base_url) as http:
            async with http.get("/replicate/v1/webhooks/default/secret") as answer:
                seen.append((await answer.json())["key"])
            async with http.get("/admin/webhooks") as answer:
                assert seen[0] not in await answer.text()
    assert seen[0] == seen[1]
    assert seen[0].startswith("whsec_")
