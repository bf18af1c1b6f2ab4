"""The pace that a server keeps by itself while Redis is away. `tests/integration/broker` holds Redis to the same."""

from hypothesis import given
from hypothesis import strategies as st

from jobrunner.broker.limits import spend

MINUTE_US = 60_000_000
NOON_US = 1.7e15


@given(st.integers(1, 5000), st.lists(st.integers(0, MINUTE_US), max_size=30))
def test_who_waits_as_told_is_let_in_and_who_comes_earlier_is_not(per_minute: int, pauses: list[int]) -> None:
    paid, now = 0.0, NOON_US
    for pause in pauses:
        now += pause
        _, paid = spend(paid, now, per_minute)
    answer, paid = spend(paid, now, per_minute)
    while answer.allowed:
        answer, paid = spend(paid, now, per_minute)
    wait_us = answer.wait_s * 1e6
    assert 0 < wait_us <= MINUTE_US // per_minute + 1
    assert not spend(paid, now + wait_us - 1, per_minute)[0].allowed
    assert spend(paid, now + wait_us + 1, per_minute)[0].allowed


@given(st.integers(1, 3000))
def test_a_minute_s_requests_may_come_at_once_and_no_more(per_minute: int) -> None:
    paid = 0.0
    for left in reversed(range(per_minute)):
        answer, paid = spend(paid, NOON_US, per_minute)
        assert (answer.allowed, answer.remaining) == (True, left)
    assert not spend(paid, NOON_US, per_minute)[0].allowed


def test_a_clock_that_was_set_back_locks_nobody_out_for_longer_than_a_request_costs() -> None:
    _, paid = spend(0.0, NOON_US, 6)
    assert spend(paid, NOON_US - 1e12, 6)[0].wait_s <= 10
