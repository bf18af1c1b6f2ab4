"""A provider's call ends the wait for the next poll; and each provider is told where to call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from jobrunner.api import serving
from jobrunner.net import Net
from jobrunner.providers.driver import Desk, Driver
from jobrunner.providers.fal import Fal
from jobrunner.providers.luma import Luma
from jobrunner.providers.replicate import Replicate
from jobrunner.request import ImageRequest, Request, VideoRequest
from jobrunner.runtime import Runtime, opened, with_sandbox
from jobrunner.sandbox.app import running
from jobrunner.settings import Settings
from jobrunner.settings.tables import Http, Provider
from jobrunner.tasks.image import generate_scene_image
from jobrunner.work import Intent
from jobrunner.worker import purchase
from tests.integration.drivers.conftest import at_loopback
from tests.integration.worker.conftest import SOON_S, until, working
from tests.receiver import SECRET, SIGNED

CALL = "https://jobs.example.com/v1/hooks/it/token?x=1&y=ü"


@pytest.fixture
async def hooked(settings: Settings, tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[Runtime]:
    """A runtime whose provider knows where to call."""
    async with running(tmp_path / "sandbox", speed=20.0) as sandbox:
        calling = settings.model_copy(
            update={
                "http": Http(port=unused_tcp_port, public_url=f"http://127.0.0.1:{unused_tcp_port}"),
                "webhooks": SIGNED,
                "routes": {"image": ("fal:fal-ai/flux/schnell",)},
            }
        )
        async with opened(with_sandbox(calling, sandbox.base_url)) as runtime:
            yield runtime


async def test_a_call_wakes_the_poll(hooked: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purchase, "_POLL_FIRST_S", 3600.0)
    monkeypatch.setattr(purchase, "_POLL_HOOKED_CAP_S", 3600.0)

    async def call(id: UUID, http: aiohttp.ClientSession) -> bool:
        """What Luma's call, which needs no signature, does for any job; whether the job has ended."""
        url = hooked.hooks.url("luma", id)
        assert url is not None
        async with http.post(url, data=uuid4().bytes) as answer:  # the same one is no news
            assert answer.status == 204
        return (await hooked.client.get(id)).status.terminal

    async with working(hooked), serving(hooked), aiohttp.ClientSession() as http:
        job = await generate_scene_image.delay(scene_description="a kite", scene_number=1, user_id="u1")
        await until(lambda: call(job.id, http))
        assert (await job.result(SOON_S)).url


async def test_a_call_that_never_comes_is_made_up_for_by_the_poll(hooked: Runtime) -> None:
    async with working(hooked):
        job = await generate_scene_image.delay(scene_description="a kite", scene_number=1, user_id="u1")
        assert (await job.result(SOON_S)).url


@asynccontextmanager
async def provider(answer: dict[str, Any]) -> AsyncIterator[tuple[str, list[tuple[dict[str, str], Any]]]]:
    """A provider that takes everything; what it was asked: the query and the body."""
    asked: list[tuple[dict[str, str], Any]] = []

    async def take(request: web.Request) -> web.Response:
        asked.append((dict(request.query), await request.json()))
        return web.json_response(answer, status=201)

    async with at_loopback(take) as url:
        yield url, asked


@dataclass(frozen=True)
class Taker:
    """A provider that takes a URL with the request, and how it reads it."""

    make: type[Any]
    model: str
    request: Request
    answer: dict[str, Any]
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)


TAKERS = [
    Taker(
        Replicate,
        "black-forest-labs/flux-schnell",
        ImageRequest("a kite"),
        {"id": "p1"},
        body={"webhook": CALL, "webhook_events_filter": ["completed"]},
    ),
    Taker(Fal, "fal-ai/flux/schnell", ImageRequest("a kite"), {"request_id": "r1"}, query={"fal_webhook": CALL}),
    Taker(Luma, "ray-2", VideoRequest("a kite"), {"id": "g1"}, body={"callback_url": CALL}),
]


@pytest.mark.parametrize("taker", TAKERS, ids=lambda taker: taker.make.name)
async def test_a_create_request_says_where_to_call(taker: Taker, tmp_path: Path) -> None:
    async with provider(taker.answer) as (url, asked):
        driver: Driver = taker.make(Net(), Provider(base_url=url, api_key=SecretStr(SECRET)))
        plan = driver.prepare(taker.model, taker.request)
        for call in (CALL, None):
            await driver.submit(Intent("key", plan, call), Desk(tmp_path, lambda _: tmp_path))
        await driver.aclose()
    (told_query, told), (plain_query, plain) = asked
    assert (told_query, plain_query) == (taker.query, {})
    assert told == plain | taker.body
    assert CALL not in str(plain)
