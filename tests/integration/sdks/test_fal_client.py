"""fal's own client runs unchanged against the sandbox. It insists on https and fal's hosts, so its URLs are patched."""

import base64
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import fal_client
import fal_client.client
import httpx
import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from jobrunner.sandbox import ledger
from jobrunner.sandbox.app import Sandbox, running
from jobrunner.sandbox.artists import artist
from tests.receiver import Message, Receiver

FLUX = "fal-ai/flux/schnell"
CAT = {"prompt": "a cat", "image_size": {"width": 64, "height": 64}, "output_format": "png"}


@pytest.fixture
async def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    async with running(tmp_path, speed=40.0) as sandbox:
        monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{sandbox.base_url}/fal/")
        monkeypatch.setattr(fal_client.client, "REST_URL", f"{sandbox.base_url}/fal/rest")
        monkeypatch.setattr(fal_client.client, "CDN_URL", f"{sandbox.base_url}/fal/cdn")
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[fal_client.AsyncClient]:
    made = fal_client.AsyncClient(key="test-key")
    yield made
    await (await made._client).aclose()


async def test_submit_status_and_result(client: fal_client.AsyncClient) -> None:
    handle = await client.submit(FLUX, CAT)
    seen = [type(event) async for event in handle.iter_events(with_logs=True, interval=0.005)]
    assert list(dict.fromkeys(seen)) == [fal_client.Queued, fal_client.InProgress, fal_client.Completed]
    result = await client.result(FLUX, handle.request_id)
    async with httpx.AsyncClient() as http:
        picture = await http.get(result["images"][0]["url"])
    assert picture.content.startswith(b"\x89PNG")


async def test_subscribe_goes_through_a_rate_limit(client: fal_client.AsyncClient, tmp_path: Path) -> None:
    result = await client.subscribe(FLUX, CAT | {"prompt": "a cat [429]"}, interval=0.005)
    assert len(result["images"]) == len(ledger.read(tmp_path)) == 1


async def test_cancel(client: fal_client.AsyncClient) -> None:
    handle = await client.submit(FLUX, CAT | {"prompt": "a cat [hang]"})
    await handle.cancel()
    status = await handle.status()
    assert isinstance(status, fal_client.Completed)
    assert status.error_type == "client_cancelled"
    with pytest.raises(fal_client.FalClientHTTPError) as again:
        await handle.cancel()
    assert again.value.status_code == 400


@pytest.mark.parametrize(
    ("prompt", "status", "says"),
    [("a cat [moderation]", 422, "content_policy_violation"), ("", 422, "string_type"), ("[quota]", 403, "balance")],
)
async def test_errors(client: fal_client.AsyncClient, prompt: str, status: int, says: str) -> None:
    with pytest.raises(fal_client.FalClientHTTPError) as error:
        await client.subscribe(FLUX, CAT | {"prompt": prompt}, interval=0.005)
    assert error.value.status_code == status
    assert says in str(error.value.response.text)


async def test_an_uploaded_picture_is_edited(client: fal_client.AsyncClient) -> None:
    url = await client.upload(artist.draw("a hill", 1, 64, 64), "image/png", "hill.png")
    made = await client.subscribe("fal-ai/nano-banana/edit", CAT | {"image_urls": [url]}, interval=0.005)
    assert [each["content_type"] for each in made["images"]] == ["image/png"]


async def test_a_wrong_key_is_refused(sandbox: Sandbox) -> None:
    stranger = fal_client.AsyncClient(key="wrong-key")
    with pytest.raises(fal_client.FalClientHTTPError) as error:
        await stranger.submit(FLUX, CAT)
    await (await stranger._client).aclose()
    assert error.value.status_code == 401


def verify(post: Message, x: str) -> None:
    """As fal's webhook guide does it, `x` being the public key of its JWKS. Raises BadSignatureError."""
    names = ("Request-Id", "User-Id", "Timestamp")
    request_id, user_id, timestamp = (post.headers[f"X-Fal-Webhook-{name}"] for name in names)
    assert abs(int(timestamp) - time.time()) <= 300
    message = "\n".join((request_id, user_id, timestamp, hashlib.sha256(post.raw).hexdigest()))
    key = VerifyKey(base64.urlsafe_b64decode(x + "=" * (-len(x) % 4)))
    key.verify(message.encode(), bytes.fromhex(post.headers["X-Fal-Webhook-Signature"]))


async def test_a_webhook_brings_the_result_or_the_error_signed(
    client: fal_client.AsyncClient, sandbox: Sandbox, receiver: Receiver
) -> None:
    made = await client.submit(FLUX, CAT, webhook_url=receiver.url)
    good = await receiver.next()
    refused = await client.submit(FLUX, CAT | {"prompt": "a cat [moderation]"}, webhook_url=receiver.url)
    bad = await receiver.next()
    async with httpx.AsyncClient() as http:
        [key] = (await http.get(f"{sandbox.base_url}/fal/rest/.well-known/jwks.json")).json()["keys"]
    for post in (good, bad):
        verify(post, key["x"])
    with pytest.raises(BadSignatureError):
        verify(Message(good.headers, good.raw + b" "), key["x"])
    assert good.body == {
        "request_id": made.request_id,
        "gateway_request_id": made.request_id,
        "status": "OK",
        "payload": await client.result(FLUX, made.request_id),
    }
    assert (bad.body["request_id"], bad.body["status"]) == (refused.request_id, "ERROR")
    assert bad.body["error"] == "Invalid status code: 422"
    assert bad.body["payload"]["detail"][0]["type"] == "content_policy_violation"
