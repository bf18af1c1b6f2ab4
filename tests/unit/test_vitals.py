"""What a worker says of itself: its loop's worst lag, and which providers refuse its work since when."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobrunner.events import emit, subscribe
from jobrunner.worker.vitals import Vitals

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class World:
    def __init__(self) -> None:
        self.now = NOON
        self.vitals = Vitals(lambda: self.now)

    def answers(self, outcome: str, *, verb: str = "submit", retry_after_s: float | None = None) -> None:
        fields = {"provider": "easel", "verb": verb, "outcome": outcome, "retry_after_s": retry_after_s, "took_s": 0.1}
        emit("provider.answered", **fields)

    def fails(self, for_s: float = 5.0) -> None:
        emit("provider.left_alone", provider="easel", for_s=for_s, error="503")

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def easel(self) -> Any:
        return self.vitals.stats()["providers"].get("easel")


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with subscribe(world.vitals.heard):
        yield world


def test_the_loop_s_lag_is_the_worst_since_it_was_asked_for(world: World) -> None:
    assert world.vitals.stats()["loop_lag_ms"] is None
    for late_s in (0.001, 0.25, 0.002):
        emit("loop.beat", late_s=late_s)
    assert world.vitals.stats()["loop_lag_ms"] == 250.0
    assert world.vitals.stats()["loop_lag_ms"] is None


def test_a_limit_lasts_from_the_first_refusal_while_others_still_pass(world: World) -> None:
    for _ in range(5):
        world.answers("limited", retry_after_s=1.0)
        world.later(3)
        world.answers("ok")
        world.later(3)
    assert world.easel() == {"state": "limited", "since": NOON}


def test_a_limit_is_over_once_one_passes_long_after_the_last_that_did_not(world: World) -> None:
    world.answers("limited", retry_after_s=600.0)
    world.later(11)
    world.answers("ok", verb="poll")
    assert world.easel() is not None
    world.answers("refused")
    assert world.easel() is None
    world.answers("limited")
    assert world.easel()["since"] == world.now


def test_a_limit_that_nobody_tries_again_is_forgotten_after_its_time(world: World) -> None:
    world.answers("limited", verb="poll", retry_after_s=600.0)
    world.later(600)
    assert world.easel() is not None
    world.later(61)
    assert world.easel() is None


def test_who_fails_is_left_alone_until_it_answers_whatever_it_says(world: World) -> None:
    world.fails()
    world.later(20)
    world.answers("failed")
    world.fails(for_s=10.0)
    assert world.easel() == {"state": "left_alone", "since": NOON}
    world.answers("limited")
    assert world.easel() == {"state": "limited", "since": world.now}
    world.fails()
    assert world.easel()["state"] == "left_alone"
    world.answers("ok")
    assert world.easel()["state"] == "limited"
