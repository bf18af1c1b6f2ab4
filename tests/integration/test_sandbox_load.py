"""The sandbox under many clients at once: what one of them gets, all of them get."""

import asyncio
import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from jobrunner.sandbox.app import running

CLIENTS = 2000
FLUX = "/replicate/v1/models/black-forest-labs/flux-schnell/predictions"


@pytest.fixture
def files() -> Iterator[None]:
    """Room for both ends of every connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("files")
async def test_two_thousand_creates_and_polls_at_once_all_succeed(tmp_path: Path) -> None:
    async def create_and_poll(number: int) -> tuple[str, str]:
        body: dict[str, Any] = {"input": {"prompt": f"cat {number}", "width": 64, "height": 64}}
        async with http.post(FLUX, json=body) as answer:
            assert answer.status == 201
            made = await answer.json()
        together.append(made["id"])
        if len(together) == CLIENTS:
            everybody.set()
        await everybody.wait()
        async with http.get(made["urls"]["get"]) as answer:
            assert answer.status == 200
            return made["id"], (await answer.json())["id"]

    together: list[str] = []
    everybody = asyncio.Event()
    async with (
        running(tmp_path, speed=1000.0) as sandbox,
        aiohttp.ClientSession(
            sandbox.base_url,
            connector=aiohttp.TCPConnector(limit=0),
            headers={"Authorization": "Bearer test-key"},
            timeout=aiohttp.ClientTimeout(total=60),
        ) as http,
    ):
        answers = await asyncio.gather(*map(create_and_poll, range(CLIENTS)))
        async with http.get("/admin/purchases") as answer:
            sold = Counter(row["id"] for row in await answer.json())
    assert all(created == polled for created, polled in answers)
    assert sold == Counter(created for created, _ in answers)
