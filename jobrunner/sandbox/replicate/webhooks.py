"""Which webhooks a prediction asks for, when they are due, and whether what they tell came to pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jobrunner.sandbox.replicate.catalogue import InvalidInput
from jobrunner.sandbox.replicate.prediction import Prediction
from jobrunner.sandbox.webhooks import NotHere, loopback

EVENTS: Final = ("start", "output", "logs", "completed")
USUAL: Final = frozenset({"output", "completed"})
"""Told where no filter is given (Replicate's webhook guide)."""


@dataclass(frozen=True, slots=True)
class Asked:
    url: str
    events: frozenset[str]


def asked(body: Mapping[str, Any]) -> Asked | None:
    """What a create's body wants called. Raises InvalidInput."""
    events = body.get("webhook_events_filter")
    if not isinstance(events or [], list) or not set(events or ()) <= set(EVENTS):
        raise InvalidInput("webhook_events_filter", f"Must be a list of {', '.join(EVENTS)}")
    try:
        url = loopback(body.get("webhook"))
    except NotHere as error:
        raise InvalidInput("webhook", str(error)) from None
    return None if url is None else Asked(url, frozenset(events or USUAL))


def due(made: Prediction, events: frozenset[str]) -> list[tuple[str, float]]:
    """Each call with its time in unix seconds. The logs are told half-way, the output with the end."""
    times = {"start": made.started_at, "logs": made.started_at + made.run_s / 2, "completed": made.ends_at}
    end = {"output": made.ends_at} if "completed" not in events else {}
    return [(event, at) for event, at in (times | end).items() if event in events]


def happened(row: Prediction, event: str, now: float) -> bool:
    match event:
        case "completed":
            return now >= row.ends_at
        case "output":
            return row.status(now) == "succeeded"
    return row.started_at < min(now, row.ends_at)
