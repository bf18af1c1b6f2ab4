"""Providers call, and whoever waits for them is told: once, and only by calls that are theirs."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import aiohttp
import pytest
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from jobrunner.broker.stream import HOOKED
from jobrunner.errors import Unavailable
from jobrunner.net.signing import standard_headers
from jobrunner.runtime import Runtime
from jobrunner.settings import Settings
from jobrunner.settings.tables import Provider
from jobrunner.store.rows import Step, StepWrite
from jobrunner.work import Handle, Plan
from tests.integration.api.conftest import problem, submit
from tests.receiver import SECRET, SIGNED, SOON_S

JOB = UUID("0198c5a4-5f4e-7cc3-8f5b-0d6f6a1f1f6e")
PUBLIC = "https://jobs.example.com"
RAW = b'{"id": "p1", "status": "succeeded"}'


@pytest.fixture
def settings(settings: Settings) -> Settings:
    signing = Provider(webhook_secret=SecretStr(SECRET))
    return settings.model_copy(
        update={
            "http": settings.http.model_copy(update={"public_url": PUBLIC}),
            "webhooks": SIGNED,
            "providers": {"replicate": signing, "openai": signing},
        }
    )


class Hints:
    def __init__(self) -> None:
        self.ids: list[UUID] = []
        self._news = asyncio.Event()

    def heard(self, ids: list[UUID]) -> None:
        self.ids += ids
        self._news.set()

    async def until(self, id: UUID) -> None:
        async with asyncio.timeout(SOON_S):
            while id not in self.ids:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def hints(runtime: Runtime) -> AsyncIterator[Hints]:
    hints, marker = Hints(), uuid7()
    async with runtime.notices.listening(HOOKED, hints.heard):
        while marker not in hints.ids:  # the subscription is in place
            await runtime.notices.send(HOOKED, [marker])
            await asyncio.sleep(0.01)
        hints.ids.clear()
        yield hints


def signed(id: str, raw: bytes = RAW, *, age_s: int = 0) -> dict[str, str]:
    return standard_headers(SECRET, id, int(time.time()) - age_s, raw)


def path(runtime: Runtime, provider: str = "replicate", job_id: UUID = JOB) -> str:
    url = runtime.hooks.url(provider, job_id)
    assert url is not None
    return url.removeprefix(PUBLIC)


async def status(http: aiohttp.ClientSession, at: str, headers: dict[str, str], raw: bytes = RAW) -> int:
    async with http.post(at, data=raw, headers=headers) as answer:
        return answer.status


async def test_a_call_is_passed_on_once_however_often_it_comes(
    runtime: Runtime, http: aiohttp.ClientSession, hints: Hints
) -> None:
    calls = [signed("m1"), signed("m1", age_s=7), signed("m1")]
    assert [await status(http, path(runtime), each) for each in calls] == [204] * 3
    assert await status(http, path(runtime), signed("m2")) == 204
    last = uuid7()
    assert await status(http, path(runtime, job_id=last), signed("m1")) == 204
    await hints.until(last)
    assert hints.ids == [JOB, JOB, last]


async def test_under_the_public_name_providers_are_let_in_and_nobody_else(
    runtime: Runtime, http: aiohttp.ClientSession
) -> None:
    public = {"Host": "jobs.example.com"}
    assert await status(http, path(runtime), signed("m1") | public) == 204
    async with http.get("/v1/jobs", headers=public) as answer:
        await problem(answer, 403, "forbidden")


async def test_what_the_provider_did_not_sign_is_refused(
    runtime: Runtime, http: aiohttp.ClientSession, hints: Hints
) -> None:
    forged = signed("m1") | {"webhook-signature": "v1,AAAA"}
    for headers, raw in (({}, RAW), (forged, RAW), (signed("m1", age_s=600), RAW), (signed("m1"), RAW + b" ")):
        async with http.post(path(runtime), data=raw, headers=headers) as answer:
            await problem(answer, 401, "unauthorized")
    assert await status(http, path(runtime), signed("m1")) == 204
    await hints.until(JOB)
    assert hints.ids == [JOB]


async def test_a_url_that_was_never_given_leads_nowhere(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    at = path(runtime)
    strange = (
        at.replace("replicate", "fal"),
        at.replace("replicate", "nobody"),
        at[:-1] + ("0" if at[-1] != "0" else "1"),
        "/v1/hooks/replicate/project/x",
        "/v1/hooks/runway/project",
    )
    for each in strange:
        async with http.post(each, data=RAW, headers=signed("m1")) as answer:
            await problem(answer, 404, "not_found")
    async with http.get(at) as answer:
        await problem(answer, 405, "method_not_allowed")


async def test_an_unsigned_call_is_known_by_its_url(
    runtime: Runtime, http: aiohttp.ClientSession, hints: Hints
) -> None:
    last = uuid7()
    for raw in (b'{"state": "dreaming"}', b'{"state": "dreaming"}', b'{"state": "completed"}'):
        assert await status(http, path(runtime, "luma"), {}, raw) == 204
    assert await status(http, path(runtime, "luma", last), {}) == 204
    await hints.until(last)
    assert hints.ids == [JOB, JOB, last]


async def test_a_projects_call_finds_the_job_by_the_providers_id(
    runtime: Runtime, http: aiohttp.ClientSession, hints: Hints
) -> None:
    id = UUID(await submit(http))
    worker = uuid7()
    await runtime.store.leases.register(
        worker, host="here", pid=1, queue="arq:queue", version="0", max_jobs=1, lease_s=30
    )
    [mine] = await runtime.store.claim(worker, queue="arq:queue", tasks=["api_paint"], limit=1, ids=[id])
    plan = Plan("openai", "m", "responses", {})
    await runtime.store.save_steps(
        worker, [StepWrite(Step(id, "generate", mine.fence, "running", plan=plan, handle=Handle("openai", "resp_1")))]
    )
    at = "/v1/hooks/openai/project"
    for raw in (b'{"data": {"id": "resp_1"}}', b'{"data": {"id": "resp_none"}}', b"[]"):
        assert await status(http, at, signed(f"m{len(raw)}", raw), raw) == 204
    await hints.until(id)
    assert hints.ids == [id]
    assert await status(http, at, {}, b"{}") == 401


async def test_without_redis_a_call_is_taken_and_the_polls_have_to_do(
    runtime: Runtime, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> bool:
        raise Unavailable("Redis did not answer.")

    monkeypatch.setattr(runtime.notices, "first", away)
    assert await status(http, path(runtime), signed("m1")) == 204


async def test_a_call_larger_than_the_limit_is_refused(runtime: Runtime, http: aiohttp.ClientSession) -> None:
    raw = b"x" * 20_001
    async with http.post(path(runtime), data=raw, headers=signed("m1", raw)) as answer:
        await problem(answer, 413, "body_too_large")
