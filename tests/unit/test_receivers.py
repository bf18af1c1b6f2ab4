"""What a receiver's answer means for its delivery, and how a host that is down or flooded is held off."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from pydantic import SecretStr

from jobrunner.errors import AttemptError, PermanentError, PutOff, Retry, TransientError, UrlNotAllowed
from jobrunner.net import Answered, Net
from jobrunner.worker.breaker import FAILURES
from jobrunner.worker.receivers import AT_ONCE, TOTAL_S, Receivers, Way
from tests.receiver import SECRET

URL = "https://example.com/told"
DOWN = TransientError("cannot be reached")


@dataclass
class FakeNet:
    answers: list[Answered | Exception]
    disabled: list[str] = field(default_factory=list)

    def check_url(self, url: str) -> None: ...

    async def post(self, url: str, body: bytes, *, headers: Any, total_s: float) -> Answered:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def disable(self, url: str, reason: str) -> None:
        self.disabled.append(f"{url}: {reason}")


def receivers(*answers: Answered | Exception) -> tuple[Receivers, FakeNet]:
    fake = FakeNet(list(answers))
    return Receivers(cast("Net", fake), SecretStr(SECRET), fake.disable), fake


async def refusal(answer: Answered | Exception) -> AttemptError:
    made, _ = receivers(answer)
    with pytest.raises(AttemptError) as refused:
        await made.send(URL, "m1", b"{}")
    return refused.value


@pytest.mark.parametrize("status", [200, 202, 204, 299])
async def test_only_a_2xx_is_a_success(status: int) -> None:
    made, _ = receivers(Answered(status, None))
    assert await made.send(URL, "m1", b"{}") == status


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 422, 429, 500, 503])
async def test_all_else_is_tried_again(status: int) -> None:
    error = await refusal(Answered(status, None))
    assert (type(error), error.code) == (TransientError, "webhook_refused")
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [400, 429, 503])
async def test_a_receiver_that_names_a_time_is_given_it(status: int) -> None:
    error = await refusal(Answered(status, 3600.0))
    assert isinstance(error, Retry)
    assert error.after_s == 3600


async def test_gone_ends_the_delivery_and_disables_the_url() -> None:
    made, fake = receivers(Answered(410, None))
    with pytest.raises(PermanentError) as gone:
        await made.send(URL, "m1", b"{}")
    assert gone.value.code == "webhook_gone"
    assert fake.disabled == [f"{URL}: The webhook answers HTTP 410 (Gone)."]


async def test_a_url_that_leads_inside_is_for_good() -> None:
    error = await refusal(UrlNotAllowed("leads to an address that is not public"))
    assert (type(error), error.code) == (PermanentError, "url_not_allowed")


async def test_without_a_secret_nothing_is_sent() -> None:
    fake = FakeNet([])
    with pytest.raises(PermanentError, match=r"webhooks\.secret"):
        await Receivers(cast("Net", fake), None, fake.disable).send(URL, "m1", b"{}")


@pytest.mark.parametrize("answer", [DOWN, Answered(500, None), Answered(429, None)])
async def test_a_host_whose_application_does_not_answer_is_left_alone(answer: Answered | Exception) -> None:
    made, fake = receivers(*[answer] * FAILURES, Answered(204, None))
    for _ in range(FAILURES):
        with pytest.raises(TransientError):
            await made.send(URL, "m1", b"{}")
    with pytest.raises(PutOff):
        await made.send("https://example.com/another/path", "m2", b"{}")
    assert await made.send("https://other.example.com/told", "m3", b"{}") == 204
    assert fake.answers == []


@pytest.mark.parametrize("status", [301, 404, 410])
async def test_one_that_refuses_is_no_reason_to_hold_back_its_neighbours(status: int) -> None:
    made, _ = receivers(*[Answered(status, None)] * FAILURES, Answered(204, None))
    for _ in range(FAILURES):
        with pytest.raises(AttemptError):
            await made.send(URL, "m1", b"{}")
    assert await made.send("https://example.com/another/path", "m2", b"{}") == 204


def place(way: Way, now: float) -> float:
    with pytest.raises(PutOff) as put_off:
        way.enter(now, 0.0)
    return put_off.value.delay_s


def test_a_flooded_host_is_given_so_many_at_once_and_the_rest_a_place_in_line() -> None:
    way = Way(took_s=TOTAL_S)
    for _ in range(AT_ONCE):
        way.enter(0.0, 0.0)
    places = [place(way, 0.0) for _ in range(500)]
    assert places == sorted(places)
    assert places[AT_ONCE - 1] == pytest.approx(2 * TOTAL_S)
    assert len(set(places[:100])) == 100
    assert places[-1] <= 600
    way.leave(1.0, 1.0, 0.0, answered=True)
    way.enter(1.0, 0.0)
    assert place(way, 1.0) < places[AT_ONCE]


def test_a_host_that_is_back_takes_all_again() -> None:
    way = Way()
    for _ in range(FAILURES):
        way.enter(0.0, 0.0)
    for _ in range(FAILURES):
        way.leave(15.0, 15.0, 0.0, answered=False)
    shut_s = place(way, 15.0)
    way.enter(15.0 + shut_s, 0.0)
    assert place(way, 15.0 + shut_s) > 0
    way.leave(16.0 + shut_s, 1.0, 0.0, answered=True)
    for _ in range(AT_ONCE):
        way.enter(16.0 + shut_s, 0.0)
