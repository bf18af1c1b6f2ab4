"""/v1/artifacts: files by id, whole or in part, and nothing else of the disk."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from jobrunner.runtime import Runtime
from jobrunner.store.rows import Step, StepWrite
from jobrunner.work import Artifact
from tests.integration.api.conftest import problem, raw, submit

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4


async def keep(runtime: Runtime, http: aiohttp.ClientSession, tmp_path: Path, mime: str, suffix: str) -> dict[str, Any]:
    """An artifact of a job that a worker holds, as the API shows it."""
    job_id = await submit(http)
    worker = uuid4()
    await runtime.store.leases.register(worker, host="h", pid=1, queue="arq:queue", version="0", max_jobs=1, lease_s=30)
    [job] = await runtime.store.claim(worker, queue="arq:queue", tasks=["api_paint"], limit=1, ids=None)
    source = tmp_path / "made"
    source.write_bytes(PNG)
    artifact_id = uuid4()
    stored = await runtime.artifacts.put(source, key := f"ab/{artifact_id}{suffix}")
    artifact = Artifact(artifact_id, job.id, "image", mime, stored.size_bytes, stored.sha256, key, 8, 8)
    await runtime.store.save_steps(worker, [StepWrite(Step(job.id, "save", job.fence, "done"), [artifact])])
    async with http.get(f"/v1/jobs/{job_id}") as answer:
        [shown] = (await answer.json())["artifacts"]
    return dict(shown)


async def test_an_artifact_is_served_whole_in_part_or_not_at_all(
    runtime: Runtime, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    shown = await keep(runtime, http, tmp_path, "image/png", ".png")
    assert (shown["mime"], shown["size_bytes"], shown["width"]) == ("image/png", len(PNG), 8)
    async with http.get(shown["url"]) as answer:
        assert (answer.status, await answer.read()) == (200, PNG)
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["ETag"] == f'"{shown["sha256"]}"'
        assert answer.headers["Content-Disposition"] == f'inline; filename="{shown["id"]}.png"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "immutable" in answer.headers["Cache-Control"]
        assert "private" in answer.headers["Cache-Control"]
    async with http.get(shown["url"], headers={"Range": "bytes=2-5"}) as answer:
        assert (answer.status, await answer.read()) == (206, PNG[2:6])
        assert answer.headers["Content-Range"] == f"bytes 2-5/{len(PNG)}"
    async with http.get(shown["url"], headers={"Range": "bytes=99999-"}) as answer:
        await problem(answer, 416, "requested_range_not_satisfiable")
        assert answer.headers["Content-Range"] == f"bytes */{len(PNG)}"
    async with http.get(shown["url"], headers={"If-None-Match": f'"{shown["sha256"]}"'}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    async with http.head(shown["url"]) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(PNG)))


async def test_markup_is_never_shown_on_our_origin(
    runtime: Runtime, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    shown = await keep(runtime, http, tmp_path, "image/svg+xml", ".svg")
    async with http.get(shown["url"]) as answer:
        assert answer.headers["Content-Disposition"].startswith("attachment")


async def test_an_artifact_whose_file_is_gone_or_a_link(
    runtime: Runtime, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    shown = await keep(runtime, http, tmp_path, "image/png", ".png")
    file = runtime.artifacts.path(f"ab/{shown['id']}.png")
    file.unlink()
    async with http.get(shown["url"]) as answer:
        await problem(answer, 404, "not_found")
    file.symlink_to("/etc/hostname")
    async with http.get(shown["url"]) as answer:
        await problem(answer, 404, "not_found")


async def test_artifacts_have_no_paths(http: aiohttp.ClientSession, subtests: pytest.Subtests) -> None:
    for path in (b"../../etc/passwd", b"..%2f..%2fetc%2fpasswd", b"%2e%2e/%2e%2e/etc/passwd", b"%00", b"x" * 300):
        with subtests.test(repr(path)):
            assert await raw(http, b"GET /v1/artifacts/" + path + b" HTTP/1.1\r\n\r\n") == 404
