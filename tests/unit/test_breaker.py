"""A provider that is down is asked by one job at a time, and by all as soon as it answers."""

import pytest

from jobrunner.worker.breaker import FAILURES, OPEN, PROBE_S, Breaker

LATE = 0.999


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.delay_s(at, LATE) is None
        breaker.failed(at, LATE)
    return breaker


def test_failures_that_an_answer_interrupts_never_open_it() -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            assert breaker.failed(0, LATE) is None
        breaker.answered()
    assert breaker.delay_s(0, LATE) is None


def test_while_it_is_open_everyone_waits_beyond_its_end_at_a_time_of_their_own() -> None:
    breaker = opened()
    delays = [breaker.delay_s(1, jitter / 10) for jitter in range(10)]
    assert None not in delays
    assert len(set(delays)) == 10
    assert min(delay for delay in delays if delay is not None) > OPEN.first_s - 1


def test_one_probe_at_a_time_and_its_failure_opens_it_for_longer() -> None:
    breaker, now, opens = opened(), OPEN.first_s, []
    for _ in range(8):
        assert breaker.delay_s(now, 0) is None
        assert breaker.delay_s(now, 0) is not None
        open_s = breaker.failed(now, LATE)
        assert open_s is not None
        opens.append(open_s)
        now += open_s
    assert opens == sorted(opens)
    assert opens[-1] == pytest.approx(OPEN.cap_s, rel=0.01)


def test_calls_that_were_under_way_when_it_opened_do_not_open_it_for_longer() -> None:
    breaker = opened()
    assert [breaker.failed(1, LATE) for _ in range(500)] == [None] * 500
    assert breaker.delay_s(OPEN.first_s, 0) is None


def test_an_answer_closes_it() -> None:
    breaker = opened()
    assert breaker.delay_s(OPEN.first_s, 0) is None
    breaker.answered()
    assert [breaker.delay_s(OPEN.first_s, 0) for _ in range(3)] == [None] * 3
    assert breaker.failed(OPEN.first_s, 0) is None


def test_a_probe_that_never_answers_gives_way_to_the_next() -> None:
    breaker = opened()
    assert breaker.delay_s(OPEN.first_s, 0) is None
    assert breaker.delay_s(OPEN.first_s + PROBE_S - 1, 0) is not None
    assert breaker.delay_s(OPEN.first_s + PROBE_S, 0) is None
