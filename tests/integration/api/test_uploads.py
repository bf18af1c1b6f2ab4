"""POST /v1/artifacts: files sent as they are, told by their bytes, and served again."""

import asyncio
import hashlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from jobrunner.errors import TransientError, Unavailable
from jobrunner.media import MediaInfo
from jobrunner.media.ffmpeg import binary
from jobrunner.runtime import Runtime
from jobrunner.store import keeping
from jobrunner.work import Artifact
from tests.integration.api.conftest import problem, raw

LIMIT = 100_000


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    source = ["-f", "lavfi", "-i", "testsrc=s=160x120:r=10:d=0.5", "-c:v", "libx264", "-pix_fmt", "yuv420p"]
    subprocess.run([binary(), "-nostdin", "-loglevel", "error", *source, str(path)], check=True)
    return path.read_bytes()


def left_behind(runtime: Runtime) -> list[Path]:
    """Files in the spool and the artifact store."""
    settings = runtime.settings
    places = (settings.directory / "spool", settings.artifact_dir)
    return [path for place in places for path in place.rglob("*") if path.is_file()]


async def test_an_uploaded_clip_is_kept_described_and_served_in_part(
    runtime: Runtime, http: aiohttp.ClientSession, clip: bytes
) -> None:
    async with http.post("/v1/artifacts?user_id=u1", data=clip) as answer:
        assert answer.status == 201, await answer.text()
        shown = await answer.json()
        assert answer.headers["Location"] == shown["url"]
    assert (shown["kind"], shown["mime"], shown["size_bytes"]) == ("video", "video/mp4", len(clip))
    assert (shown["width"], shown["height"], shown["duration_s"]) == (160, 120, 0.5)
    assert shown["sha256"] == hashlib.sha256(clip).hexdigest()
    async with http.get(shown["url"], headers={"Range": "bytes=4-11"}) as answer:
        assert (answer.status, await answer.read()) == (206, clip[4:12])
        assert answer.headers["Content-Type"] == "video/mp4"
        assert answer.headers["Content-Disposition"].startswith("inline")
        assert "media-src 'self'" in answer.headers["Content-Security-Policy"]
    assert len(left_behind(runtime)) == 1


async def test_a_file_above_the_limit_is_refused_announced_or_not(
    runtime: Runtime, http: aiohttp.ClientSession
) -> None:
    head = f"POST /v1/artifacts HTTP/1.1\r\nContent-Length: {LIMIT + 1}\r\n\r\n"
    assert await raw(http, head.encode()) == 413

    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield bytes(LIMIT // 10)

    async with http.post("/v1/artifacts", data=blocks()) as answer:
        await problem(answer, 413, "body_too_large")
    assert not left_behind(runtime)


@pytest.mark.parametrize("body", [b"", b"<svg onload=alert(1)>", b"#EXTM3U\nfile:///etc/passwd\n", b"--form\r\n"])
async def test_what_is_no_picture_clip_or_sound_is_refused(
    runtime: Runtime, http: aiohttp.ClientSession, body: bytes
) -> None:
    async with http.post("/v1/artifacts", data=body, headers={"Content-Type": "video/mp4"}) as answer:
        refused = await problem(answer, 415, "media_invalid")
    assert "--data-binary" in refused["detail"]
    assert not left_behind(runtime)


async def test_a_clip_that_was_cut_before_it_was_sent_is_refused(
    runtime: Runtime, http: aiohttp.ClientSession, clip: bytes
) -> None:
    async with http.post("/v1/artifacts", data=clip[: len(clip) // 2]) as answer:
        await problem(answer, 422, "media_invalid")
    assert not left_behind(runtime)


async def test_an_upload_that_breaks_off_leaves_nothing(
    runtime: Runtime, http: aiohttp.ClientSession, clip: bytes
) -> None:
    url = http._base_url
    assert url is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /v1/artifacts HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(clip))
    writer.write(clip[:2000])
    await writer.drain()
    writer.write_eof()
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(10):
        while left_behind(runtime):  # noqa: ASYNC110  # the server tidies up after it has hung up
            await asyncio.sleep(0.01)


async def test_an_upload_whose_row_cannot_be_written_leaves_nothing(
    runtime: Runtime, http: aiohttp.ClientSession, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_store: object, _artifact: Artifact) -> None:
        raise Unavailable("Postgres is away.")

    monkeypatch.setattr(type(runtime.store), "insert_artifact", away)
    async with http.post("/v1/artifacts", data=clip) as answer:
        await problem(answer, 503, "unavailable")
    assert not left_behind(runtime)


async def test_an_upload_that_nothing_can_look_into_may_come_again(
    runtime: Runtime, http: aiohttp.ClientSession, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crowded(_path: Path) -> MediaInfo:
        raise TransientError("no examiner is to be had", code="media_unexamined")

    monkeypatch.setattr(keeping, "inspected", crowded)
    async with http.post("/v1/artifacts", data=clip) as answer:
        await problem(answer, 503, "unavailable")
        assert "Retry-After" in answer.headers
    assert left_behind(runtime) == []


async def test_a_word_in_the_query_that_nobody_knows_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/artifacts?user=u1", data=b"x") as answer:
        await problem(answer, 422, "invalid_request")


async def test_a_compressed_upload_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/artifacts", data=b"x", headers={"Content-Encoding": "gzip"}) as answer:
        await problem(answer, 415, "unsupported_media_type")
