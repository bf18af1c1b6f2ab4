"""One suite for every driver, against the sandbox. What a driver cannot do has an outcome of its own, asserted too.

A new driver is one more line in SUBJECTS.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from pydantic import SecretStr

from jobrunner.errors import AttemptError, PermanentError, RateLimited, SubmitUnknown, TransientError
from jobrunner.media.pictures import image_info
from jobrunner.net import Net
from jobrunner.providers.driver import Desk, Driver, Failed, Finished, Running
from jobrunner.providers.openai import OpenAI
from jobrunner.providers.replicate import Replicate
from jobrunner.sandbox.app import running
from jobrunner.settings import Provider
from jobrunner.work import Handle, ImageRequest, Intent, Output

SPEED = 40.0


@dataclass(frozen=True)
class Subject:
    """A driver's class, a model it draws with, and where the sandbox speaks its protocol."""

    make: Callable[[Net, Provider], Driver]
    model: str
    path: str
    wait_in_words_s: float | None


SUBJECTS = {
    "openai": Subject(OpenAI, "gpt-image-2", "/openai/v1", None),
    "replicate": Subject(Replicate, "black-forest-labs/flux-schnell", "/replicate", 1.0),
}


class Bench:
    """One driver at work on one sandbox."""

    def __init__(self, subject: Subject, base_url: str, spool: Path) -> None:
        self.subject = subject
        self.base_url = base_url
        self.spool = spool
        self.desk = Desk(spool, lambda artifact: spool / artifact.key)
        self.net = Net([base_url.removeprefix("http://")])
        self.admin = aiohttp.ClientSession(base_url)
        self.drivers: list[Driver] = []
        self.driver = self.another()

    def another(self, **settings: Any) -> Driver:
        """A fresh driver, as another process would have it."""
        at = {"base_url": self.base_url + self.subject.path, "api_key": SecretStr("test-key")}
        self.drivers.append(self.subject.make(self.net, Provider.model_validate(at | settings)))
        return self.drivers[-1]

    def intent(self, prompt: str, **request: Any) -> Intent:
        return Intent("key", self.driver.prepare(self.subject.model, ImageRequest(prompt, **request)))

    async def submit(self, prompt: str, **request: Any) -> Handle | Finished:
        return await self.driver.submit(self.intent(prompt, **request), self.desk)

    async def ended(self, answer: Handle | Finished, driver: Driver | None = None) -> Finished:
        """Poll to the end; a failure is raised, so that both kinds of driver fail alike."""
        while isinstance(answer, Handle):
            match await (driver or self.driver).poll(answer):
                case Finished() as answer:
                    break
                case Failed(error):
                    raise error
                case Running():
                    await asyncio.sleep(0.005)
        return answer

    async def run(self, prompt: str, **request: Any) -> Finished:
        return await self.ended(await self.submit(prompt, **request))

    async def fail(self, on: str, word: str, **rule: Any) -> None:
        body = {"provider": self.driver.name, "on": on, "fail": word, "count": 1} | rule
        async with self.admin.post("/admin/faults", json=body) as answer:
            assert answer.status == 201

    async def purchases(self) -> list[dict[str, Any]]:
        async with self.admin.get("/admin/purchases") as answer:
            return list(await answer.json())

    async def aclose(self) -> None:
        for driver in self.drivers:
            await driver.aclose()
        await self.net.aclose()
        await self.admin.close()


@pytest.fixture(params=SUBJECTS)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with running(tmp_path / "sandbox", speed=SPEED) as sandbox:
        (tmp_path / "spool").mkdir()
        made = Bench(SUBJECTS[request.param], sandbox.base_url, tmp_path / "spool")
        yield made
        await made.aclose()


async def test_pictures_are_made_and_kept(bench: Bench) -> None:
    finished = await bench.run("a cat", n=2, size=(1024, 1024))
    files = [await bench.driver.fetch(output, bench.spool) for output in finished.outputs]
    assert [(image_info(file).mime, image_info(file).width) for file in files] == [("image/png", 1024)] * 2
    assert sorted(bench.spool.iterdir()) == sorted(files)
    assert finished.cost is not None
    assert orjson.loads(orjson.dumps(finished.meta)) == finished.meta
    assert len(await bench.purchases()) == 1


async def test_submit_answers_as_declared(bench: Bench) -> None:
    answer = await bench.submit("a cat")
    if bench.driver.capabilities.handle:
        assert isinstance(answer, Handle)
        assert Handle.from_json(orjson.loads(orjson.dumps(answer.to_json()))) == answer
        assert answer.submitted_at == pytest.approx(time.time(), abs=10)
    else:
        assert isinstance(answer, Finished)
        assert all(output.path for output in answer.outputs)


async def test_a_fresh_driver_goes_on_from_a_handle(bench: Bench) -> None:
    fresh = bench.another()
    if bench.driver.capabilities.handle:
        handle = await bench.submit("a cat")
        assert isinstance(handle, Handle)
        finished = await bench.ended(Handle.from_json(orjson.loads(orjson.dumps(handle.to_json()))), fresh)
        assert len(finished.outputs) == 1
        assert len(await bench.purchases()) == 1
    else:
        with pytest.raises(PermanentError) as error:
            await fresh.poll(Handle(fresh.name, "some-id"))
        assert error.value.code == "unsupported"


async def test_running_work_is_cancelled_upstream(bench: Bench) -> None:
    if bench.driver.capabilities.cancel:
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
    assert await bench.driver.cancel(Handle(bench.driver.name, "no-such-id")) == "unknown"


async def test_an_orphan_is_found_by_its_plan(bench: Bench) -> None:
    since = time.time() - 1
    await bench.fail("create", "reset")
    with pytest.raises(SubmitUnknown):
        await bench.submit("an orphan", seed=1)
    await bench.run("an orphan", seed=2)
    found = await bench.another().find(bench.intent("an orphan", seed=1), since)
    if bench.driver.capabilities.lists:
        orphan = (await bench.purchases())[0]
        assert [handle.id for handle in found] == [orphan["id"]]
        assert len((await bench.ended(found[0])).outputs) == 1
        assert await bench.driver.find(bench.intent("an orphan", seed=1), time.time() + 60) == []
    else:
        assert found == []
    assert len(await bench.purchases()) == 2


async def test_a_second_submit_buys_again_unless_the_key_is_honoured(bench: Bench) -> None:
    intent = bench.intent("a cat", seed=1)
    await bench.driver.submit(intent, bench.desk)
    await bench.driver.submit(intent, bench.desk)
    assert len(await bench.purchases()) == (1 if bench.driver.capabilities.idempotent else 2)


@pytest.mark.parametrize("form", ["7", "2.5", "date", None])
async def test_a_rate_limit_says_when_to_come_again(bench: Bench, form: str | None) -> None:
    header = formatdate(time.time() + 30, usegmt=True) if form == "date" else form
    await bench.fail("create", "429", retry_after=header)
    with pytest.raises(RateLimited) as error:
        await bench.submit("a cat")
    expected = {"7": 7.0, "2.5": 2.5, "date": pytest.approx(30, abs=2), None: bench.subject.wait_in_words_s}[form]
    assert error.value.retry_after_s == expected
    assert error.value.provider == bench.driver.name
    assert await bench.purchases() == []


@pytest.mark.parametrize("word", ["500", "503"])
async def test_a_refused_create_bought_nothing(bench: Bench, word: str) -> None:
    await bench.fail("create", word)
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
    with pytest.raises(SubmitUnknown, match="may run and be billed"):
        await bench.submit("a cat")
    assert len(await bench.purchases()) == 1
    assert list(bench.spool.iterdir()) == []


async def test_a_create_that_is_never_answered_is_unknown(bench: Bench) -> None:
    await bench.fail("create", "hang")
    with pytest.raises(SubmitUnknown):
        await bench.another(timeout_s=0.3).submit(bench.intent("a cat"), bench.desk)
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
    driver = bench.another(timeout_s=0.3)
    answer = await bench.submit("a cat")
    await bench.fail("poll", word, count=2 if word == "reset" else 1)  # aiohttp itself repeats a GET once
    if isinstance(answer, Handle):
        with pytest.raises(kind) as error:
            await driver.poll(answer)
        assert type(error.value) is kind
    assert len((await bench.ended(answer, driver)).outputs) == 1


async def test_polling_with_a_wrong_key_is_no_failure_of_the_work(bench: Bench) -> None:
    answer = await bench.submit("a cat")
    if isinstance(answer, Handle):
        with pytest.raises(PermanentError) as error:
            await bench.another(api_key="wrong").poll(answer)
        assert error.value.code == "provider_auth"
    assert len((await bench.ended(answer)).outputs) == 1


@pytest.mark.parametrize(
    ("word", "code", "billed"),
    [("moderation", "content_policy", True), ("fail", None, True), ("quota", "provider_quota", False)],
)
async def test_what_the_provider_will_not_make_fails_for_good(
    bench: Bench, word: str, code: str | None, *, billed: bool
) -> None:
    with pytest.raises(PermanentError) as error:
        await bench.run(f"a cat [{word}]")
    assert not error.value.retryable
    assert code in (None, error.value.code)
    assert error.value.provider == bench.driver.name
    assert len(await bench.purchases()) == (1 if billed and bench.driver.capabilities.handle else 0)


async def test_a_wrong_key_is_named_and_not_shown(bench: Bench) -> None:
    with pytest.raises(PermanentError, match=rf"\[providers\.{bench.driver.name}\]") as error:
        await bench.another(api_key="canary").submit(bench.intent("a cat"), bench.desk)
    assert error.value.code == "provider_auth"
    assert "canary" not in str(error.value)


async def test_a_missing_key_names_the_setting(bench: Bench) -> None:
    name = bench.driver.name
    with pytest.raises(PermanentError, match=f"JOBRUNNER_PROVIDERS__{name.upper()}__API_KEY") as error:
        await bench.another(api_key=None).submit(bench.intent("a cat"), bench.desk)
    assert f"[providers.{name}]" in str(error.value)


async def test_a_result_that_expired_is_told_apart(bench: Bench) -> None:
    answer = await bench.submit("a cat [expire]")
    finished = await bench.ended(answer)
    if isinstance(answer, Handle):
        with pytest.raises(PermanentError) as gone:
            await bench.driver.fetch(finished.outputs[0], bench.spool)
        assert gone.value.code == "artifact_expired"
        with pytest.raises(PermanentError) as removed:
            await bench.ended(answer)
        assert removed.value.code == "artifact_expired"
    else:
        assert finished.outputs[0].path == await bench.driver.fetch(finished.outputs[0], bench.spool)


async def test_work_that_the_provider_has_forgotten_is_expired(bench: Bench) -> None:
    if bench.driver.capabilities.handle:
        gone = await bench.driver.poll(Handle(bench.driver.name, "no-such-id"))
        assert isinstance(gone, Failed)
        assert gone.error.code == "artifact_expired"
    else:
        with pytest.raises(PermanentError):
            await bench.driver.poll(Handle(bench.driver.name, "no-such-id"))


@pytest.mark.parametrize(("word", "kind"), [("truncate", TransientError), ("wrong_type", PermanentError)])
async def test_a_file_that_is_cut_or_no_picture_is_never_taken(
    bench: Bench, word: str, kind: type[AttemptError]
) -> None:
    async def take() -> None:
        for output in (await bench.run(f"a cat [{word}]")).outputs:
            image_info(await bench.driver.fetch(output, bench.spool))

    with pytest.raises(kind if bench.driver.capabilities.handle else SubmitUnknown):
        await take()


async def test_an_output_in_private_space_is_not_fetched(bench: Bench) -> None:
    with pytest.raises(PermanentError, match="not public") as error:
        await bench.driver.fetch(Output("image", url="https://169.254.169.254/latest/meta-data"), bench.spool)
    assert error.value.code == "url_not_allowed"
    assert list(bench.spool.iterdir()) == []
