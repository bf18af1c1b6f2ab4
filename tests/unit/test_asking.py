"""Whoever listens is told of every answer of a provider, and of nothing that is none."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from jobrunner.errors import AttemptError, PermanentError, RateLimited, SubmitUnknown, TransientError
from jobrunner.events import Event, subscribe
from jobrunner.work import Money
from jobrunner.worker.asking import asked, delivered


@pytest.fixture
def told() -> Iterator[list[Event]]:
    events: list[Event] = []
    with subscribe(events.append):
        yield events


async def answer(error: Exception | None) -> str:
    if error is not None:
        raise error
    return "a picture"


@pytest.mark.parametrize(
    ("error", "outcome", "retry_after_s"),
    [
        (None, "ok", None),
        (RateLimited("later", retry_after_s=3.0), "limited", 3.0),
        (PermanentError("no"), "refused", None),
        (TransientError("down"), "failed", None),
        (SubmitUnknown("lost"), "failed", None),
    ],
)
async def test_an_answer_is_told_with_what_came_of_it(
    told: list[Event], error: AttemptError | None, outcome: str, retry_after_s: float | None
) -> None:
    with suppress(AttemptError):
        assert await asked("easel", "submit", answer(error)) == "a picture"
    [event] = told
    took_s = event.fields["took_s"]
    assert took_s >= 0
    fields = {"provider": "easel", "verb": "submit", "outcome": outcome, "retry_after_s": retry_after_s}
    assert (event.name, event.fields) == ("provider.answered", {**fields, "took_s": took_s})


async def test_a_question_that_is_broken_off_says_nothing_of_the_provider(told: list[Event]) -> None:
    asking = asyncio.create_task(asked("easel", "poll", asyncio.Event().wait()))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert told == []


@pytest.mark.parametrize(
    ("cost", "spent"), [(Money(Decimal("0.040"), "usd"), {"amount": "0.040", "unit": "usd"}), (None, {})]
)
def test_a_delivery_is_told_with_its_time_and_its_cost(
    told: list[Event], cost: Money | None, spent: dict[str, Any]
) -> None:
    delivered("easel", timedelta(seconds=8), cost)
    assert [event.fields for event in told] == [{"provider": "easel", "took_s": 8.0, **spent}]
