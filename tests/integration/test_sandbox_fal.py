"""The sandbox's fal where no driver looks: what it promises of time, files and refusals."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jobrunner.sandbox import ledger
from jobrunner.sandbox.app import running
from jobrunner.sandbox.fal.api import KEPT_LARGE_S, KEPT_S

FLUX = "/fal/fal-ai/flux/schnell"
SMALL = {"image_size": {"width": 64, "height": 64}}


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        running(tmp_path, speed=100.0) as sandbox,
        aiohttp.ClientSession(sandbox.base_url, headers={"Authorization": "Key test-key"}) as session,
    ):
        yield session


async def ask(http: aiohttp.ClientSession, method: str, url: str, **options: Any) -> tuple[int, Any]:
    async with http.request(method, url, **options) as answer:
        return answer.status, await answer.json()


async def order(http: aiohttp.ClientSession, model: str = FLUX, **options: Any) -> tuple[int, Any]:
    """The result of one request, when it is over; `options` are input, or `headers`."""
    headers = options.pop("headers", {})
    _, made = await ask(http, "POST", model, json={"prompt": "a cat", **SMALL, **options}, headers=headers)
    while (await ask(http, "GET", made["status_url"]))[1]["status"] != "COMPLETED":
        pass
    return await ask(http, "GET", made["response_url"])


async def status_of(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(url) as answer:
        return answer.status


def age(data_dir: Path, older_s: float) -> None:
    """Let that many seconds go by for everything that was ordered."""
    with closing(sqlite3.connect(data_dir / ledger.DATABASE, isolation_level=None)) as db:
        db.execute("UPDATE takes SET created_at = created_at - ?", (older_s,))


async def test_it_waits_then_runs_then_is_done(http: aiohttp.ClientSession) -> None:
    _, made = await ask(http, "POST", FLUX, json={"prompt": "a cat [slow]", **SMALL})
    assert (made["status"], made["queue_position"]) == ("IN_QUEUE", 0)
    assert made["status_url"].endswith(f"/fal/fal-ai/flux/requests/{made['request_id']}/status")
    assert (await ask(http, "GET", made["response_url"]))[0] == 400
    seen = [(202, "IN_QUEUE")]
    while seen[-1][1] != "COMPLETED":
        status, shown = await ask(http, "GET", made["status_url"])
        if (status, shown["status"]) != seen[-1]:
            seen.append((status, shown["status"]))
    assert seen == [(202, "IN_QUEUE"), (202, "IN_PROGRESS"), (200, "COMPLETED")]


@pytest.mark.parametrize(
    ("model", "input", "type"),
    [
        (FLUX, {"prompt": None}, "string_type"),
        (FLUX, {"num_images": 5}, "less_than_equal"),
        (FLUX, {"image_size": "huge"}, "value_error"),
        ("/fal/fal-ai/nano-banana/edit", {}, "missing"),
        ("/fal/fal-ai/nano-banana/edit", {"image_urls": ["https://example.com/1.png"]}, "file_download_error"),
        ("/fal/fal-ai/wan/image-to-video", {}, "missing"),
        ("/fal/fal-ai/wan/image-to-video", {"image_url": "data:image/png;base64,!"}, "file_download_error"),
        ("/fal/fal-ai/elevenlabs/tts/eleven-v3", {}, "missing"),
        ("/fal/veed/lipsync", {"audio_url": "data:audio/wav;base64,UklGRjIAAABXQVZF"}, "missing"),
        ("/fal/veed/lipsync", {"video_url": "https://example.com/1.mp4"}, "file_download_error"),
        ("/fal/fal-ai/sync-lipsync/v2", {"sync_mode": "stretch", "audio_url": "x", "video_url": "y"}, "literal_error"),
    ],
)
async def test_a_wrong_input_is_told_by_the_result_and_costs_nothing(
    http: aiohttp.ClientSession, tmp_path: Path, model: str, input: dict[str, Any], type: str
) -> None:
    status, result = await order(http, model, **input)
    assert (status, result["detail"][0]["type"]) == (422, type)
    assert ledger.read(tmp_path) == []


async def test_sync_mode_answers_the_picture_itself(http: aiohttp.ClientSession) -> None:
    _, result = await order(http, sync_mode=True, output_format="png")
    assert result["images"][0]["url"].startswith("data:image/png;base64,iVBORw0")


async def test_files_live_as_long_as_was_asked_for(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    _, kept = await order(http)
    _, lent = await order(http, headers={"X-Fal-Object-Lifecycle-Preference": '{"expiration_duration_seconds": 60}'})
    for older_s, statuses in ((0, [200, 200]), (70, [200, 404])):
        age(tmp_path, older_s)
        urls = [result["images"][0]["url"] for result in (kept, lent)]
        assert [await status_of(http, url) for url in urls] == statuses


@pytest.mark.parametrize(("sync_mode", "kept_s"), [(False, KEPT_S), (True, KEPT_LARGE_S)])
async def test_results_are_forgotten(
    http: aiohttp.ClientSession, tmp_path: Path, kept_s: float, *, sync_mode: bool
) -> None:
    _, made = await ask(http, "POST", FLUX, json={"prompt": "a cat", "sync_mode": sync_mode, **SMALL})
    for older_s, status in ((kept_s - 10, 200), (20, 404)):
        age(tmp_path, older_s)
        assert await status_of(http, made["status_url"]) == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/fal/missing/model", 404),
        ("POST", "/fal/alone", 404),
        ("POST", "/fal/cdn/files/sneaked", 404),
        ("GET", "/fal/fal-ai/flux/requests/none", 404),
        ("GET", "/fal/files/none/0.png", 404),
        ("POST", "/fal/cdn/files/upload", 401),
    ],
)
async def test_refusals(http: aiohttp.ClientSession, method: str, path: str, status: int) -> None:
    got, problem = await ask(http, method, path, json={})
    assert (got, set(problem)) == (status, {"detail"})


async def test_a_request_belongs_to_its_app_and_to_the_key(http: aiohttp.ClientSession) -> None:
    _, made = await ask(http, "POST", FLUX, json={"prompt": "a cat", **SMALL})
    assert (await ask(http, "GET", made["status_url"].replace("flux", "sdxl")))[0] == 404
    assert (await ask(http, "GET", made["status_url"], headers={"Authorization": "Key other"}))[0] == 401
