"""One suite for every driver, against the sandbox. What a driver cannot do has an outcome of its own, asserted too.

A new driver is one more line in SUBJECTS.
"""

import time
from email.utils import formatdate

import orjson
import pytest

from jobrunner.errors import AttemptError, PermanentError, RateLimited, SubmitUnknown, TransientError
from jobrunner.media.examining import media_info
from jobrunner.providers.driver import Failed, Finished, Running
from jobrunner.work import Handle, Output
from tests.integration.drivers.conftest import Bench, orphans


async def test_what_is_ordered_is_made(bench: Bench) -> None:
    finished = await bench.run("a cat")
    files = await bench.files(finished)
    assert {media_info(file).kind for file in files} == ({bench.subject.kind} if bench.subject.kind else set())
    assert bench.made(finished)
    assert (finished.cost is not None) == bench.subject.priced
    assert sorted(bench.spool.iterdir()) == sorted(files)
    assert orjson.loads(orjson.dumps(finished.meta)) == finished.meta
    assert len(await bench.purchases()) == 1


async def test_submit_answers_as_declared(bench: Bench) -> None:
    answer = await bench.submit("a cat")
    if bench.can.handle:
        assert isinstance(answer, Handle)
        assert Handle.from_json(orjson.loads(orjson.dumps(answer.to_json()))) == answer
        assert answer.submitted_at == pytest.approx(time.time(), abs=10)
    else:
        assert isinstance(answer, Finished)
        assert all(output.path for output in answer.outputs)


async def test_a_fresh_driver_goes_on_from_a_handle(bench: Bench) -> None:
    fresh = bench.another()
    if bench.can.handle:
        handle = await bench.submit("a cat")
        assert isinstance(handle, Handle)
        finished = await bench.ended(Handle.from_json(orjson.loads(orjson.dumps(handle.to_json()))), fresh)
        assert bench.made(finished)
        assert len(await bench.purchases()) == 1
    else:
        with pytest.raises(PermanentError) as error:
            await fresh.poll(Handle(fresh.name, "some-id"))
        assert error.value.code == "unsupported"


async def test_running_work_is_cancelled_upstream(bench: Bench) -> None:
    if bench.can.cancel:
        handle = await bench.submit("a cat [hang]")
        assert isinstance(handle, Handle)
        assert isinstance(await bench.driver.poll(handle), Running)
        assert await bench.another().cancel(handle) == "cancelled"
        with pytest.raises(PermanentError) as error:
            await bench.ended(handle)
        assert error.value.code == "provider_cancelled"
    else:
        assert await bench.driver.cancel(Handle(bench.driver.name, "some-id")) == "unknown"


async def test_cancelling_what_is_over_or_unknown_says_so(bench: Bench) -> None:
    answer = await bench.submit("a cat")
    await bench.ended(answer)
    if isinstance(answer, Handle):
        assert await bench.driver.cancel(answer) == "too_late"
    assert await bench.driver.cancel(Handle(bench.driver.name, bench.subject.missing)) == "unknown"


async def test_an_orphan_is_found_by_its_plan(bench: Bench) -> None:
    since = time.time() - 1
    await bench.fail("create", "reset")
    await bench.lose("an orphan", seed=1)
    await bench.run("an orphan", seed=2)
    found = await orphans(bench.another(), bench.intent("an orphan", seed=1), since)
    if bench.can.lists:
        orphan = (await bench.purchases())[0]
        assert [handle.id.rpartition("/")[2] for handle in found] == [orphan["id"]]
        assert bench.made(await bench.ended(found[0]))
        assert await orphans(bench.driver, bench.intent("an orphan", seed=1), time.time() + 60) == []
    else:
        assert found == []
    assert len(await bench.purchases()) == 2


async def test_a_second_submit_buys_again_unless_the_key_is_honoured(bench: Bench) -> None:
    intent = bench.intent("a cat", seed=1)
    await bench.driver.submit(intent, bench.desk)
    await bench.driver.submit(intent, bench.desk)
    assert len(await bench.purchases()) == (1 if bench.can.idempotent else 2)


@pytest.mark.parametrize("form", ["7", "2.5", "date", None])
async def test_a_rate_limit_says_when_to_come_again(bench: Bench, form: str | None) -> None:
    header = formatdate(time.time() + 30, usegmt=True) if form == "date" else form
    await bench.fail(bench.first, "429", retry_after=header)
    with pytest.raises(RateLimited) as error:
        await bench.submit("a cat")
    expected = {"7": 7.0, "2.5": 2.5, "date": pytest.approx(30, abs=2), None: bench.subject.wait_in_words_s}[form]
    assert error.value.retry_after_s == expected
    assert error.value.provider == bench.driver.name
    assert await bench.purchases() == []


@pytest.mark.parametrize("word", ["500", "503"])
async def test_a_refused_create_bought_nothing(bench: Bench, word: str) -> None:
    await bench.fail(bench.first, word)
    with pytest.raises(TransientError) as error:
        await bench.submit("a cat")
    assert type(error.value) is TransientError
    assert await bench.purchases() == []


async def test_a_provider_that_cannot_be_reached_bought_nothing(bench: Bench, unused_tcp_port: int) -> None:
    away = bench.another(base_url=f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(TransientError) as error:
        await away.submit(bench.intent("a cat"), bench.desk)
    assert type(error.value) is TransientError


@pytest.mark.parametrize("word", ["reset", "truncate", "wrong_type"])
async def test_a_create_whose_answer_is_lost_is_unknown(bench: Bench, word: str) -> None:
    await bench.fail("create", word)
    await bench.lose("a cat")
    assert len(await bench.purchases()) == 1
    assert list(bench.spool.iterdir()) == []


async def test_a_create_that_is_never_answered_is_unknown(bench: Bench) -> None:
    await bench.fail("create", "hang")
    await bench.lose("a cat", driver=bench.another(timeout_s=1.0))
    assert len(await bench.purchases()) == 1


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("429", RateLimited),
        ("503", TransientError),
        ("reset", TransientError),
        ("truncate", TransientError),
        ("wrong_type", TransientError),
        ("hang", TransientError),
    ],
)
async def test_a_poll_that_goes_wrong_is_asked_again(bench: Bench, word: str, kind: type[AttemptError]) -> None:
    driver = bench.another(timeout_s=0.3) if word == "hang" else bench.driver
    answer = await bench.submit("a cat")
    await bench.fail(
        "poll", word, count=1 if word != "reset" or bench.subject.foreknown else 2
    )  # aiohttp repeats a GET
    if isinstance(answer, Handle):
        with pytest.raises(kind) as error:
            await driver.poll(answer)
        assert type(error.value) is kind
    assert bench.made(await bench.ended(answer))


async def test_polling_with_a_wrong_key_is_no_failure_of_the_work(bench: Bench) -> None:
    answer = await bench.submit("a cat")
    if isinstance(answer, Handle):
        with pytest.raises(PermanentError) as error:
            await bench.another(api_key="wrong").poll(answer)
        assert error.value.code == "provider_auth"
    assert bench.made(await bench.ended(answer))


@pytest.mark.parametrize(
    ("word", "code", "billed"),
    [("moderation", "content_policy", True), ("fail", None, True), ("quota", "provider_quota", False)],
)
async def test_what_the_provider_will_not_make_fails_for_good(
    bench: Bench, word: str, code: str | None, *, billed: bool
) -> None:
    if bench.subject.foreknown and word == "quota":  # what is signed waits until the node has room for it
        answer = await bench.submit(f"a cat [{word}]")
        assert isinstance(answer, Handle)
        assert isinstance(await bench.driver.poll(answer), Running)
        assert await bench.purchases() == []
        return
    with pytest.raises(PermanentError) as error:
        await bench.run(f"a cat [{word}]")
    assert not error.value.retryable
    assert error.value.code == "transaction_rejected" if bench.subject.foreknown else code in (None, error.value.code)
    assert error.value.provider == bench.driver.name
    assert len(await bench.purchases()) == (1 if billed and bench.can.handle and not bench.subject.foreknown else 0)


async def test_a_wrong_key_is_named_and_not_shown(bench: Bench) -> None:
    with pytest.raises(PermanentError, match=rf"\[providers\.{bench.driver.name}\]") as error:
        await bench.another(api_key="canary").submit(bench.intent("a cat"), bench.desk)
    assert error.value.code == "provider_auth"
    assert "canary" not in str(error.value)


async def test_a_missing_key_names_the_setting(bench: Bench) -> None:
    name = bench.driver.name
    variable = bench.subject.key or f"JOBRUNNER_PROVIDERS__{name.upper()}__API_KEY"
    with pytest.raises(PermanentError, match=variable) as error:
        await bench.another(api_key=None).submit(bench.intent("a cat"), bench.desk)
    assert (f"[providers.{name}]" in str(error.value)) == (bench.subject.key is None)
    assert error.value.code == "provider_key_missing"


async def test_a_result_that_expired_is_told_apart(bench: Bench) -> None:
    answer = await bench.submit("a cat [expire]")
    finished = await bench.ended(answer)
    if bench.subject.foreknown:  # what is in a chain is there for good
        assert await bench.ended(answer) == finished
    elif isinstance(answer, Handle):
        for output in finished.outputs:
            with pytest.raises(PermanentError) as gone:
                await bench.driver.fetch(output, bench.spool)
            assert gone.value.code == "artifact_expired"
        with pytest.raises(PermanentError) as removed:
            await bench.ended(answer)
        assert removed.value.code == "artifact_expired"
    else:
        assert [output.path for output in finished.outputs] == await bench.files(finished)


async def test_work_that_the_provider_has_forgotten_is_expired(bench: Bench) -> None:
    if bench.can.handle:
        gone = await bench.driver.poll(Handle(bench.driver.name, bench.subject.missing))
        assert isinstance(gone, Failed)
        assert gone.error.code == "artifact_expired"
    else:
        with pytest.raises(PermanentError):
            await bench.driver.poll(Handle(bench.driver.name, bench.subject.missing))


@pytest.mark.parametrize(("word", "kind"), [("truncate", TransientError), ("wrong_type", PermanentError)])
async def test_what_is_cut_or_of_a_wrong_kind_is_never_taken(bench: Bench, word: str, kind: type[AttemptError]) -> None:
    async def take() -> None:
        for file in await bench.files(await bench.run(f"a cat [{word}]")):
            media_info(file)

    if bench.subject.told:  # nothing that was made comes back, so nothing can be cut
        await take()
        return
    expected = kind if bench.subject.kind else TransientError  # words come with the poll, which may be asked again
    with pytest.raises(expected if bench.can.handle else SubmitUnknown):
        await take()


async def test_an_output_in_private_space_is_not_fetched(bench: Bench) -> None:
    with pytest.raises(PermanentError, match="not public") as error:
        await bench.driver.fetch(Output("image", url="https://169.254.169.254/latest/meta-data"), bench.spool)
    assert error.value.code == "url_not_allowed"
    assert list(bench.spool.iterdir()) == []
