"""Replicate's own SDK, pointed at the sandbox by its base URL and changed in nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.webhook import InvalidSignatureError

from jobrunner.media import sniff
from jobrunner.sandbox import ledger
from jobrunner.sandbox.app import Sandbox, running
from jobrunner.sandbox.artists import artist
from tests.receiver import Receiver

FLUX = "black-forest-labs/flux-schnell"
VERSION = "ab" * 32
CAT = {"prompt": "a cat", "width": 64, "height": 64, "output_format": "png"}


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with running(tmp_path, speed=40.0) as sandbox:
        yield sandbox


def client_of(sandbox: Sandbox, key: str = "test-key") -> Client:
    made = Client(api_token=key, base_url=f"{sandbox.base_url}/replicate")
    made.poll_interval = 0.01
    return made


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    made = client_of(sandbox)
    yield made
    await made._async_client.aclose()


@pytest.mark.parametrize("ref", [FLUX, f"{FLUX}:{VERSION}"])
async def test_run_answers_the_files_of_a_model_or_a_version_of_it(client: Client, ref: str) -> None:
    urls: Any = await client.async_run(ref, input=CAT)
    async with httpx.AsyncClient() as http:
        files = [(await http.get(url)).content for url in urls]
    assert [sniff(file) for file in files] == ["image/png"]


async def test_a_prediction_is_created_by_version_and_waited_for(client: Client) -> None:
    made = await client.predictions.async_create(version=VERSION, input=CAT)
    assert made.status == "starting"
    await made.async_wait()
    assert (made.status, made.version, len(made.output or ())) == ("succeeded", VERSION, 1)
    assert made.progress is not None
    assert made.progress.percentage == 1.0
    assert (made.metrics or {})["predict_time"] > 0


async def test_a_create_that_waits_answers_the_end(client: Client) -> None:
    made = await client.predictions.async_create(version=VERSION, input=CAT, wait=10)
    assert made.status == "succeeded"


async def test_running_work_is_cancelled(client: Client) -> None:
    made = await client.models.predictions.async_create(FLUX, input=CAT | {"prompt": "a cat [hang]"})
    await made.async_cancel()
    await made.async_reload()
    assert made.status == "canceled"


async def test_predictions_are_listed_newest_first(client: Client) -> None:
    ids = [(await client.models.predictions.async_create(FLUX, input=CAT)).id for _ in range(3)]
    page = await client.predictions.async_list()
    assert ([each.id for each in page.results], page.next) == (ids[::-1], None)


async def test_an_uploaded_picture_is_edited(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "hill.png"
    path.write_bytes(artist.draw("a hill", 1, 64, 64))
    file = await client.files.async_create(path)
    assert [each.id for each in await client.files.async_list()] == [file.id]
    edit = {"prompt": "at night", "input_image": file.urls["get"], "output_format": "png"}
    url = await client.async_run("black-forest-labs/flux-kontext-pro", input=edit)
    async with httpx.AsyncClient() as http:
        assert sniff((await http.get(str(url))).content) == "image/png"
    assert await client.files.async_delete(file.id)
    with pytest.raises(ReplicateError) as gone:
        await client.files.async_get(file.id)
    assert gone.value.status == 404


@pytest.mark.parametrize(
    ("input", "status", "says"),
    [
        (CAT | {"prompt": "a cat [quota]"}, 402, "insufficient credit"),
        (CAT | {"prompt": "a cat [429]"}, 429, "resets in ~1s"),
        (CAT | {"num_outputs": 9}, 422, "num_outputs"),
        ({}, 422, "prompt"),
    ],
)
async def test_refusals_arrive_as_its_own_errors(
    client: Client, tmp_path: Path, input: dict[str, object], status: int, says: str
) -> None:
    with pytest.raises(ReplicateError, match=says) as error:  # the SDK repeats no POST
        await client.models.predictions.async_create(FLUX, input=input)
    assert error.value.status == status
    assert ledger.read(tmp_path) == []


async def test_a_wrong_key_and_a_missing_model_are_told(client: Client, sandbox: Sandbox) -> None:
    stranger = client_of(sandbox, "wrong-key")
    with pytest.raises(ReplicateError) as unknown:
        await stranger.models.predictions.async_create(FLUX, input=CAT)
    await stranger._async_client.aclose()
    with pytest.raises(ReplicateError) as missing:
        await client.models.predictions.async_create("missing/model", input=CAT)
    assert (unknown.value.status, missing.value.status) == (401, 404)


async def test_flagged_content_is_a_failed_prediction(client: Client) -> None:
    with pytest.raises(ModelError) as error:
        await client.async_run(FLUX, input=CAT | {"prompt": "a cat [moderation]"})
    assert "E005" in (error.value.prediction.error or "")


async def test_a_webhook_is_validated_by_the_sdk_itself(client: Client, receiver: Receiver) -> None:
    made = await client.predictions.async_create(
        version=VERSION, input=CAT, webhook=receiver.url, webhook_events_filter=["start", "completed"]
    )
    posts = [await receiver.next(), await receiver.next()]
    secret = await client.webhooks.default.async_secret()
    for post in posts:
        client.webhooks.validate(headers=dict(post.headers), body=post.raw.decode(), secret=secret, tolerance=300)
        with pytest.raises(InvalidSignatureError):
            client.webhooks.validate(headers=dict(post.headers), body=f"{post.raw.decode()} ", secret=secret)
    assert {post.body["id"] for post in posts} == {made.id}
    assert "succeeded" in {post.body["status"] for post in posts}


async def test_a_cancelled_prediction_is_told_at_once(client: Client, receiver: Receiver) -> None:
    made = await client.predictions.async_create(
        version=VERSION, input=CAT | {"prompt": "a cat [hang]"}, webhook=receiver.url
    )
    await made.async_cancel()
    assert (await receiver.next()).body["status"] == "canceled"
