"""Asking a provider, and telling of it: what counters, metrics and logs know of providers, they hear from here."""

import logging
import time
from collections.abc import Awaitable
from datetime import timedelta
from typing import Literal, TypeVar

from jobrunner.errors import AttemptError, RateLimited, TransientError
from jobrunner.events import emit
from jobrunner.work import Money

T = TypeVar("T")
Verb = Literal["submit", "poll", "find", "fetch", "cancel"]
Outcome = Literal["ok", "limited", "refused", "failed"]
"""`limited`: a 429. `refused`: for good. `failed`: the provider is down, or nobody knows what it did."""


async def asked(provider: str, verb: Verb, asking: Awaitable[T]) -> T:
    """What `asking` answers or raises; `provider.answered` says which and how long it took.

    One that is cancelled, with its job, says nothing of the provider.
    """
    began = time.perf_counter()
    try:
        answer = await asking
    except AttemptError as error:
        _tell(provider, verb, began, error)
        raise
    _tell(provider, verb, began, None)
    return answer


def delivered(provider: str, took: timedelta, cost: Money | None) -> None:
    """Tell that a purchase was made and kept, `took` after its first intent."""
    spent = {} if cost is None else {"amount": str(cost.amount), "unit": cost.unit}
    emit("purchase.delivered", logging.DEBUG, provider=provider, took_s=took.total_seconds(), **spent)


def _tell(provider: str, verb: Verb, began: float, error: AttemptError | None) -> None:
    wait_s = error.retry_after_s if isinstance(error, RateLimited) else None
    emit(
        "provider.answered",
        logging.DEBUG,
        provider=provider,
        verb=verb,
        outcome=_outcome(error),
        took_s=time.perf_counter() - began,
        retry_after_s=wait_s,
    )


def _outcome(error: AttemptError | None) -> Outcome:
    match error:
        case None:
            return "ok"
        case RateLimited():
            return "limited"
        case TransientError():
            return "failed"
        case _:
            return "refused"
