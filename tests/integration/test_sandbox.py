"""The sandbox over real HTTP: the providers' protocols, faults on demand, and what survives a kill."""

import asyncio
import base64
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from email.utils import formatdate
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import jobrunner
from jobrunner.runtime import SANDBOX_PREFIXES
from jobrunner.sandbox import ledger
from jobrunner.sandbox.app import Sandbox, running
from jobrunner.sandbox.replicate import prediction

SPEED = 100.0
KEY = {"Authorization": "Bearer test-key"}
FLUX = "/replicate/v1/models/black-forest-labs/flux-schnell/predictions"
IMAGES = "/openai/v1/images/generations"
PNG = b"\x89PNG\r\n\x1a\n"
SMALL = {"width": 64, "height": 64, "output_format": "png"}


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with running(tmp_path, speed=SPEED) as sandbox:
        yield sandbox


@pytest.fixture
async def http(sandbox: Sandbox) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(sandbox.base_url, headers=KEY) as session:
        yield session


async def order(http: aiohttp.ClientSession, prompt: str, *, wait: bool = False, **input: Any) -> dict[str, Any]:
    body = {"input": {"prompt": prompt, **SMALL, **input}}
    async with http.post(FLUX, json=body, headers={"Prefer": "wait"} if wait else {}) as response:
        assert response.status == 201, await response.text()
        return dict(await response.json())


async def look(http: aiohttp.ClientSession, made: dict[str, Any]) -> dict[str, Any]:
    async with http.get(made["urls"]["get"]) as response:
        assert response.status == 200
        return dict(await response.json())


async def purchases(http: aiohttp.ClientSession, provider: str) -> list[dict[str, Any]]:
    async with http.get("/admin/purchases", params={"provider": provider}) as response:
        return list(await response.json())


async def rule(http: aiohttp.ClientSession, **fields: Any) -> None:
    async with http.post("/admin/faults", json=fields) as response:
        assert response.status == 201, await response.text()


async def draw(http: aiohttp.ClientSession, **body: Any) -> tuple[int, Any]:
    async with http.post(IMAGES, json={"size": "64x64", **body}) as response:
        assert response.headers["x-request-id"].startswith("req_")
        return response.status, await response.json()


async def test_openai_draws(http: aiohttp.ClientSession) -> None:
    status, answer = await draw(http, prompt="two cats", n=2, model="gpt-image-2")
    assert status == 200
    pictures = [base64.b64decode(item["b64_json"]) for item in answer["data"]]
    assert len({*pictures}) == 2
    assert all(picture.startswith(PNG) for picture in pictures)
    assert (answer["size"], answer["output_format"]) == ("64x64", "png")
    assert answer["usage"]["total_tokens"] == answer["usage"]["input_tokens"] + answer["usage"]["output_tokens"]
    [bought] = await purchases(http, "openai")
    assert (bought["prompt"], bought["price_usd"]) == ("two cats", 0.08)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "missing_required_parameter"),
        ({"prompt": "x" * 32_001}, 400, "string_above_max_length"),
        ({"prompt": "x", "n": 11}, 400, "invalid_value"),
        ({"prompt": "x", "n": True}, 400, "invalid_value"),
        ({"prompt": "x", "size": "65x64"}, 400, "invalid_value"),
        ({"prompt": "x", "size": "64x64", "model": "gpt-image-1.5"}, 400, "invalid_value"),
        ({"prompt": "x", "output_format": "bmp"}, 400, "invalid_value"),
        ({"prompt": "x", "response_format": "url"}, 400, "unknown_parameter"),
        ({"prompt": "x", "model": "dall-e-3"}, 404, "model_not_found"),
        ({"prompt": "x [moderation]"}, 400, "moderation_blocked"),
        ({"prompt": "x [quota]"}, 429, "insufficient_quota"),
        ({"prompt": "x [fail]"}, 400, "invalid_value"),
    ],
)
async def test_openai_refuses(http: aiohttp.ClientSession, body: dict[str, Any], status: int, code: str) -> None:
    got, answer = await draw(http, **body)
    assert (got, answer["error"]["code"]) == (status, code)
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert await purchases(http, "openai") == []


async def test_openai_knows_its_key_and_its_paths(http: aiohttp.ClientSession) -> None:
    async with http.get("/openai/v1/models", headers={"Authorization": "Bearer wrong"}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (401, "invalid_api_key")
    async with http.get("/openai/v1/models") as response:
        assert "gpt-image-2" in [model["id"] for model in (await response.json())["data"]]
    async with http.post("/openai/v1/nothing") as response:
        assert (response.status, "error" in await response.json()) == (404, True)
    async with http.post(IMAGES, data=b"{") as response:
        assert (response.status, "error" in await response.json()) == (400, True)


async def test_replicate_runs_a_prediction(http: aiohttp.ClientSession) -> None:
    made = await order(http, "a robot [slow]", num_outputs=2, seed=5)
    assert (made["status"], made["output"], made["version"]) == ("starting", None, "hidden")
    done = await order(http, "a robot", num_outputs=2, seed=5, wait=True)
    assert done["status"] == "succeeded"
    assert "Using seed: 5" in done["logs"]
    assert "100%" in done["logs"]
    assert done["metrics"]["predict_time"] > 0
    files = [await _bytes(http, url) for url in done["output"]]
    assert len({*files}) == 2
    assert all(file.startswith(PNG) for file in files)
    assert [row["price_usd"] for row in await purchases(http, "replicate")] == [0.006, 0.006]


async def _bytes(http: aiohttp.ClientSession, url: str) -> bytes:
    async with http.get(url, headers={"Authorization": ""}) as response:
        assert response.status == 200
        return await response.read()


async def test_replicate_takes_versions_and_single_outputs(http: aiohttp.ClientSession) -> None:
    for version, model in (
        ("ab" * 32, "black-forest-labs/flux-schnell"),
        ("some/model-pro:" + "0" * 64, "some/model-pro"),
    ):
        body = {"version": version, "input": {"prompt": "x", **SMALL}}
        async with http.post("/replicate/v1/predictions", json=body, headers={"Prefer": "wait=5"}) as response:
            made = await response.json()
        assert (made["model"], made["version"]) == (model, version[-64:])
        assert isinstance(made["output"], str if "pro" in model else list)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (FLUX, {}, 422),
        (FLUX, {"input": {}}, 422),
        (FLUX, {"input": {"prompt": "x", "num_outputs": 5}}, 422),
        (FLUX, {"input": {"prompt": "x", "aspect_ratio": "7:1"}}, 422),
        (FLUX, {"input": {"prompt": "x [quota]"}}, 402),
        ("/replicate/v1/predictions", {"input": {"prompt": "x"}}, 422),
        ("/replicate/v1/models/missing/model/predictions", {"input": {"prompt": "x"}}, 404),
        ("/replicate/v1/nothing", {}, 404),
    ],
)
async def test_replicate_refuses(http: aiohttp.ClientSession, path: str, body: dict[str, Any], status: int) -> None:
    async with http.post(path, json=body) as response:
        problem = await response.json(content_type="application/problem+json")
    assert (response.status, problem["status"]) == (status, status)
    assert problem["title"]
    assert problem["detail"]
    assert await purchases(http, "replicate") == []


async def test_replicate_knows_its_key(http: aiohttp.ClientSession) -> None:
    async with http.get("/replicate/v1/predictions", headers={"Authorization": "Bearer wrong"}) as response:
        assert response.status == 401


async def test_replicate_cancels_and_wakes_the_waiting(http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(5):
        waiting = asyncio.create_task(order(http, "x [hang]", wait=True))
        while not (bought := await purchases(http, "replicate")):
            pass
        async with http.post(f"/replicate/v1/predictions/{bought[0]['id']}/cancel") as response:
            assert (await response.json())["status"] == "canceled"
        assert (await waiting)["status"] == "canceled"


async def test_replicate_cancel_after_the_end_changes_nothing(http: aiohttp.ClientSession) -> None:
    done = await order(http, "x", wait=True)
    async with http.post(done["urls"]["cancel"]) as response:
        assert (await response.json())["status"] == "succeeded"


async def test_replicate_lists_newest_first_in_pages(http: aiohttp.ClientSession) -> None:
    ids = [(await order(http, f"{number}"))["id"] for number in range(205)][::-1]
    pages, url = [], "/replicate/v1/predictions"
    while url:
        async with http.get(url) as response:
            pages.append(await response.json())
        url = pages[-1]["next"]
    assert [[row["id"] for row in page["results"]] for page in pages] == [ids[:100], ids[100:200], ids[200:]]
    async with http.get(pages[1]["previous"]) as response:
        first = await response.json()
    assert (first["previous"], [row["id"] for row in first["results"]]) == (None, ids[:100])


@pytest.mark.parametrize(
    ("word", "status", "says"),
    [("fail", "failed", "failed"), ("moderation", "failed", "flagged as sensitive"), ("expire", "succeeded", "")],
)
async def test_replicate_fates(http: aiohttp.ClientSession, word: str, status: str, says: str) -> None:
    done = await order(http, f"x [{word}]", wait=True)
    assert done["status"] == status
    assert says in (done["error"] or "")
    if word == "expire":
        async with http.get(done["output"][0]) as response:
            assert response.status == 404
        later = await look(http, done)
        assert (later["data_removed"], later["output"], later["input"]) == (True, None, {})


def row(**changes: Any) -> prediction.Prediction:
    fields = {"deadline_at": None, "canceled_at": None, **changes}
    return prediction.Prediction(
        "id", "o/m", "hidden", '{"prompt":"x"}', 1, fields.pop("fate", ""), 100.0, 2.0, 8.0, **fields
    )


@pytest.mark.parametrize(
    ("made", "at", "status"),
    [
        (row(), 101, "starting"),
        (row(), 105, "processing"),
        (row(), 110, "succeeded"),
        (row(fate="fail"), 110, "failed"),
        (row(fate="hang"), 1e9, "processing"),
        (row(canceled_at=101.0), 101, "canceled"),
        (row(canceled_at=105.0), 200, "canceled"),
        (row(canceled_at=111.0), 200, "succeeded"),
        (row(deadline_at=101.0), 101, "aborted"),
        (row(deadline_at=105.0), 104, "processing"),
        (row(deadline_at=105.0), 105, "canceled"),
    ],
)
def test_status_is_a_function_of_row_and_time(made: prediction.Prediction, at: float, status: str) -> None:
    assert prediction.shown(made, "http://here", at)["status"] == status


def test_everything_is_removed_after_an_hour() -> None:
    kept, gone = (prediction.shown(row(), "http://here", 110 + age) for age in (3599.0, 3600.0))
    assert kept["output"] == ["http://here/replicate/files/id/out-0.webp"]
    assert (gone["status"], gone["output"], gone["input"], gone["logs"]) == ("succeeded", None, {}, "")
    assert gone["data_removed"]


async def test_replicate_deadline(http: aiohttp.ClientSession) -> None:
    headers = {"Cancel-After": "1s", "Prefer": "wait"}
    async with http.post(FLUX, json={"input": {"prompt": "x [hang]"}}, headers=headers) as response:
        made = await response.json()
    assert (made["status"], made["deadline"]) == ("canceled", made["completed_at"])
    async with http.post(FLUX, json={"input": {"prompt": "x"}}, headers={"Cancel-After": "soon"}) as response:
        assert response.status == 422


async def test_429_in_a_prompt_refuses_two_tries(http: aiohttp.ClientSession) -> None:
    for path, body, accepted in (
        (IMAGES, {"prompt": "[429]", "size": "64x64"}, 200),
        (FLUX, {"input": {"prompt": "[429]"}}, 201),
    ):
        answers = []
        for _ in range(3):
            async with http.post(path, json=body) as response:
                answers.append((response.status, response.headers.get("Retry-After")))
        assert answers == [(429, "1"), (429, "1"), (accepted, None)]
    assert (len(await purchases(http, "openai")), len(await purchases(http, "replicate"))) == (1, 1)


@pytest.mark.parametrize("path", [IMAGES, FLUX])
async def test_reset_is_billed_and_unanswered(http: aiohttp.ClientSession, path: str) -> None:
    body = {"prompt": "x [reset]", "size": "64x64"} if path == IMAGES else {"input": {"prompt": "x [reset]"}}
    with pytest.raises(aiohttp.ClientOSError):
        await http.post(path, json=body)
    assert len(await purchases(http, "openai" if path == IMAGES else "replicate")) == 1


async def test_hang_is_billed_and_ends_with_its_client(http: aiohttp.ClientSession) -> None:
    hanging = asyncio.create_task(draw(http, prompt="x [hang]"))
    async with asyncio.timeout(5):
        while not await purchases(http, "openai"):
            pass
    assert not hanging.done()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging


async def test_truncated_answers(http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await draw(http, prompt="x [truncate]")
    done = await order(http, "x [truncate]", wait=True)
    with pytest.raises(aiohttp.ClientPayloadError):
        await _bytes(http, done["output"][0])


async def test_the_header_is_about_one_exchange(http: aiohttp.ClientSession) -> None:
    done = await order(http, "x", wait=True)
    for word, status in (("503", 503), ("500", 500), ("429", 429)):
        async with http.get(done["urls"]["get"], headers={"X-Sandbox-Fault": word}) as response:
            assert response.status == status
    async with http.get(done["output"][0], headers={"X-Sandbox-Fault": "wrong_type"}) as response:
        assert (response.status, response.content_type) == (200, "text/html")
    async with http.get(done["output"][0], headers={"X-Sandbox-Fault": "slow_drip"}) as response:
        assert (await response.read()).startswith(PNG)
    async with http.get(done["output"][0], headers={"X-Sandbox-Fault": "expire"}) as response:
        assert response.status == 404
    assert (await look(http, done))["data_removed"]


async def test_rules_count_down_and_clear(http: aiohttp.ClientSession) -> None:
    date = formatdate(usegmt=True)
    await rule(http, fail="429", provider="replicate", on="poll", count=1, retry_after=date)
    made = await order(http, "x")
    async with http.get(made["urls"]["get"]) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, date)
    await look(http, made)
    await rule(http, fail="503")
    assert (await draw(http, prompt="x"))[0] == 503
    async with http.delete("/admin/faults") as response:
        assert response.status == 204
    assert (await draw(http, prompt="x"))[0] == 200
    async with http.post("/admin/faults", json={"fial": "503"}) as response:
        assert response.status == 422


async def test_a_reopened_sandbox_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path, speed=SPEED) as first, aiohttp.ClientSession(first.base_url, headers=KEY) as http:
        made = await order(http, "x [slow]")
    async with running(tmp_path) as second, aiohttp.ClientSession(second.base_url, headers=KEY) as http:
        async with asyncio.timeout(5):
            while (seen := await _again(http, made["id"]))["status"] != "succeeded":
                pass
        assert (await _bytes(http, seen["output"][0])).startswith(PNG)
    assert [row.id for row in ledger.read(tmp_path, "replicate")] == [made["id"]]


async def _again(http: aiohttp.ClientSession, id: str) -> dict[str, Any]:
    async with http.get(f"/replicate/v1/predictions/{id}") as response:
        return dict(await response.json())


SERVE = """
import asyncio, pathlib, sys
from jobrunner.sandbox.app import running

async def serve():
    async with running(pathlib.Path(sys.argv[1]), speed=50) as sandbox:
        print(sandbox.base_url, flush=True)
        await asyncio.Event().wait()

if __name__ == "__main__":
    asyncio.run(serve())
"""


async def test_nothing_sold_is_lost_by_a_kill_and_no_artist_is_left(tmp_path: Path) -> None:
    script = tmp_path / "serve.py"
    script.write_text(SERVE)
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(jobrunner.__file__).parents[1])},
    )
    assert server.stdout is not None
    base_url = (await server.stdout.readline()).decode().strip()
    async with aiohttp.ClientSession(base_url, headers=KEY) as http:
        done = await order(http, "x", wait=True)
        assert (await _bytes(http, done["output"][0])).startswith(PNG)
        children = _children(server.pid)
        server.send_signal(signal.SIGKILL)
        await server.wait()
    assert [row.id for row in ledger.read(tmp_path)] == [done["id"]]
    with closing(sqlite3.connect(tmp_path / ledger.DATABASE)) as db:
        assert prediction.get(db, done["id"]) is not None
    async with asyncio.timeout(5):
        while any(_alive(child) for child in children):  # noqa: ASYNC110  # a stranger's end sets no event here
            await asyncio.sleep(0.01)


def _children(pid: int) -> list[int]:
    """Of every generation."""
    direct = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return direct + [pid for child in direct for pid in _children(child)]


def _alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_the_front_page_says_where_each_provider_is_as_the_runtime_expects_it(sandbox: Sandbox) -> None:
    async with aiohttp.ClientSession(sandbox.base_url) as http, http.get("/") as response:
        spoken = json.loads(await response.text())["providers"]
    assert spoken == {name: sandbox.base_url + prefix for name, prefix in SANDBOX_PREFIXES.items()}
