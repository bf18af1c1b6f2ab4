"""What a client of the API does when the line breaks, the API is busy, or something else answers in its place."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trustme
from aiohttp import web

from jobrunner import JobRunner, Submission, SubmitOptions
from jobrunner.api import serving
from jobrunner.api.guard.keys import hash_of
from jobrunner.errors import (
    ApiError,
    ConfigError,
    Forbidden,
    JobrunnerError,
    NotFound,
    ScopeMissing,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from jobrunner.job import Status
from jobrunner.remote import line, verbs
from jobrunner.runtime import Runtime
from jobrunner.settings.tables import Key
from jobrunner.store.rows import Filter
from jobrunner.worker.loop import WorkerLoop
from tests.faults.proxy import Proxy
from tests.integration.remote.conftest import (
    ACCEPTED,
    ID,
    SOON_S,
    Frame,
    Order,
    Stranger,
    asking,
    draw_frame,
    problem,
    said,
    speaking,
)
from tests.workers import at_work


@pytest.fixture
async def far(proxy: Proxy) -> AsyncIterator[JobRunner]:
    """Behind the proxy."""
    async with JobRunner(url=f"http://127.0.0.1:{proxy.port}", patience_s=SOON_S) as runner:
        yield runner


# ---- lost answers ------------------------------------------------------------------------------


async def test_a_submit_whose_answer_is_lost_is_sent_again_and_is_one_job(
    far: JobRunner, proxy: Proxy, runtime: Runtime
) -> None:
    loss = proxy.lose_answer(to=b"POST /v1/jobs ")
    job = await draw_frame.delay(colour="blue")
    assert loss.happened.is_set()
    assert [each.id for each in await runtime.client.search(Filter())] == [job.id]


async def test_a_batch_whose_answer_is_lost_is_sent_again_and_makes_no_job_twice(
    far: JobRunner, proxy: Proxy, runtime: Runtime
) -> None:
    loss = proxy.lose_answer(to=b"POST /v1/jobs:batch ")
    answers = await far.submit_many([Submission(draw_frame, Order(colour=f"c{n}")) for n in range(5)])
    assert loss.happened.is_set()
    kept = {each.id for each in await runtime.client.search(Filter())}
    assert len(kept) == 5
    assert {each.id for each in answers if not isinstance(each, JobrunnerError)} == kept


async def test_a_cancel_whose_answer_is_lost_is_not_sent_again(far: JobRunner, proxy: Proxy) -> None:
    job = await draw_frame.delay()
    loss = proxy.lose_answer(to=b"/cancel ")
    with pytest.raises(Unavailable, match=r"was tried once\. It may have been done: look how the job stands"):
        await job.cancel()
    assert loss.happened.is_set()
    assert (await job.refresh()).status is Status.CANCELLED


async def test_who_waits_outlives_a_server_that_goes_and_comes_back(
    far: JobRunner, proxy: Proxy, runtime: Runtime
) -> None:
    job = await draw_frame.delay(colour="blue")
    result = asyncio.create_task(job.result(timeout=SOON_S))
    await proxy.cut()
    await runtime.client.cancel(job.id)
    await runtime.client.retry(job.id)
    proxy.mend()
    async with at_work(WorkerLoop(runtime), leaves_within_s=SOON_S):
        assert await result == Frame(colour="blue")


async def test_who_watches_hears_also_what_happened_while_the_line_was_cut(
    far: JobRunner, proxy: Proxy, runtime: Runtime
) -> None:
    events = far.events(kind=["status"])
    first = asyncio.ensure_future(anext(events))
    async with asyncio.timeout(SOON_S):
        while not first.done():  # an event before the stream has begun is not its
            await runtime.local.submit(draw_frame, Order())
            await asyncio.wait([first], timeout=0.1)
        await proxy.cut()
        job = await runtime.local.submit(draw_frame, Order())
        proxy.mend()
        while (await anext(events)).data["id"] != str(job.id):
            pass


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        (b"", Unavailable, r"ended the stream\. GET /v1/events was tried once"),
        (b"event: status\ndata: [1]\n\n", ApiError, "no JSON object"),
        (b"event: status\ndata: \xff\n\n", ApiError, "holds what is no event"),
    ],
)
async def test_a_stream_that_is_none_is_told_in_words(
    stranger: Stranger, body: bytes, error: type[Exception], words: str
) -> None:
    stranger.answers = [web.Response(body=body, content_type="text/event-stream")]
    async with asking(stranger, patience_s=0) as runner:
        with pytest.raises(error, match=words):
            await anext(runner.events())


async def test_an_event_that_this_client_does_not_know_is_left_out(stranger: Stranger) -> None:
    stranger.answers = [web.Response(body=b"event: news\ndata: 1\n\nevent: reset\ndata: {}\n\n")]
    async with asking(stranger) as runner:
        assert (await anext(runner.events())).kind == "reset"


async def test_who_waits_beyond_what_is_held_open_takes_turns(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "WAITS_AT_ONCE", 1)
    monkeypatch.setattr(verbs, "_TURN_S", 0.1)
    async with serving(runtime) as url, JobRunner(url=url) as runner:
        first, second = await draw_frame.delay(), await draw_frame.delay()
        waits = [asyncio.create_task(runner.wait(job.id, SOON_S)) for job in (first, second)]
        await second.cancel()
        assert (await waits[1]).status is Status.CANCELLED
        assert not waits[0].done()
        await first.cancel()
        assert (await waits[0]).status is Status.CANCELLED


async def test_a_server_that_falls_silent_is_given_up_and_the_message_says_how_to_go_on(
    far: JobRunner, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "ANSWER_S", 0.1)
    proxy.fall_silent()
    async with JobRunner(url=f"http://127.0.0.1:{proxy.port}", patience_s=0) as hasty:
        with pytest.raises(Unavailable, match=r"gave no answer in time\..*idempotency_key='mine': that never makes"):
            await hasty.submit(draw_frame, Order(), SubmitOptions(idempotency_key="mine"))


# ---- a busy server -----------------------------------------------------------------------------


async def test_a_server_that_is_away_for_a_while_is_asked_again_with_the_same_key(stranger: Stranger) -> None:
    away = said(503, problem(503, "unavailable"), **{"Retry-After": "0"})
    stranger.answers = [away, away, said(202, ACCEPTED)]
    async with asking(stranger) as runner:
        assert (await runner.submit("any", {})).id == ID
    assert len(stranger.asked) == 3


async def test_nobody_waits_longer_than_patience(stranger: Stranger) -> None:
    stranger.answers = [said(503, problem(503, "unavailable"), **{"Retry-After": "3600"})]
    async with asking(stranger) as runner:
        with pytest.raises(Unavailable, match=r"asks to come again in 3600 s.*tried once\. Try again later") as away:
            await runner.get(ID)
    assert away.value.retry_after_s == 3600
    assert len(stranger.asked) == 1


async def test_what_was_refused_for_being_too_much_was_not_done_and_may_come_again(stranger: Stranger) -> None:
    stranger.answers = [said(429, problem(429, "too_many_requests"), **{"Retry-After": wait}) for wait in ("0", "3600")]
    async with asking(stranger) as runner:
        with pytest.raises(TooManyRequests, match=r"tried 2 times\. Nothing was done") as limited:
            await runner.cancel(ID)
    assert limited.value.retry_after_s == 3600


async def test_a_batch_of_which_one_could_not_be_kept_is_sent_again_whole(stranger: Stranger) -> None:
    kept = {"status": 202, "job": ACCEPTED}
    away = {"status": 503, "problem": problem(503, "unavailable")}
    stranger.answers = [said(body={"data": [kept, away]}), said(body={"data": [kept, kept]})]
    async with asking(stranger) as runner:
        answers = await runner.submit_many([Submission("any", {}), Submission("any", {})])
    assert [each.id for each in answers if not isinstance(each, JobrunnerError)] == [ID, ID]


async def test_where_nobody_listens_nothing_was_done() -> None:
    async with JobRunner(url="http://127.0.0.1:1", patience_s=0) as runner:
        with pytest.raises(
            Unavailable, match=r"http://127\.0\.0\.1:1 cannot be reached \(.*\): is the server up.*Nothing"
        ):
            await runner.cancel(ID)


# ---- keys and addresses ------------------------------------------------------------------------


async def test_a_key_that_is_bound_to_a_user_sees_that_users_jobs_alone(runtime: Runtime) -> None:
    key = Key(hash=hash_of("jr_ann"), scopes=("submit", "read"), user_id="ann")
    guarded = replace(runtime, settings=runtime.settings.model_copy(update={"keys": {"ann": key}}))
    strangers = await runtime.local.submit(draw_frame, Order(user_id="bob"))
    async with serving(guarded) as url:
        async with JobRunner(url=url, api_key="jr_ann") as runner:
            own = await runner.submit(draw_frame, Order(user_id="ann"))
            assert [job.id async for job in runner.search()] == [own.id]
            with pytest.raises(NotFound):
                await runner.get(strangers.id)
            with pytest.raises(Forbidden, match="bound to user 'ann'"):
                await runner.submit(draw_frame, Order(user_id="bob"))
            with pytest.raises(ScopeMissing, match="operate"):
                await own.cancel()
        async with JobRunner(url=url, api_key="jr_other") as runner:
            with pytest.raises(Unauthorized, match="not known here"):
                await runner.get(own.id)


async def test_the_key_goes_with_every_request_and_stands_in_no_message(stranger: Stranger) -> None:
    stranger.answers = [said(401, problem(401, "unauthorized"))]
    async with asking(stranger, api_key="jr_secret") as runner:
        with pytest.raises(Unauthorized) as raised:
            await runner.get(ID)
    assert stranger.asked[0].headers["Authorization"] == "Bearer jr_secret"
    assert "jr_secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "api_key"),
    [
        ("jobs.example.com", None),
        ("ftp://jobs.example.com", None),
        ("https://key@jobs.example.com", None),
        ("http://", None),
        ("http://127.0.0.1", "jr_\r\nX: y"),
        ("http://127.0.0.1", ""),
        (None, "jr_secret"),
    ],
)
async def test_what_is_no_address_or_key_is_refused_at_once(url: str | None, api_key: str | None) -> None:
    with pytest.raises(ConfigError, match=r"JobRunner's `(url|api_key)`"):
        async with JobRunner(url=url, api_key=api_key):
            pass


async def test_the_key_is_not_sent_to_a_server_that_cannot_prove_its_name() -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    async with speaking(tls) as stranger:
        stranger.answers = [said(body={"data": []})]
        async with asking(stranger, api_key="jr_secret") as runner:
            with pytest.raises(ApiError, match="does not prove") as refused:
                await runner.tasks()
    assert refused.value.code == "tls_failed"
    assert not stranger.asked


async def test_an_api_may_live_below_a_path(stranger: Stranger) -> None:
    stranger.answers = [said(body={"data": []})]
    async with JobRunner(url=f"{stranger.url}/jobs-api/") as runner:
        assert await runner.tasks() == []
    [asked] = stranger.asked
    assert asked.path == "/jobs-api/v1/tasks"
