"""When a row of Postgres and an entry of Redis do not go together."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from jobrunner.broker.queue import to_ms
from jobrunner.client.comparing import MEANINGS, agree, disagreement
from jobrunner.job import Status
from jobrunner.store.rows import Active, Looked

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def row(status: Status, *, due_in_s: float = 0.0, suspicion: int = 0) -> Looked:
    due_at = NOW + timedelta(seconds=due_in_s)
    return Looked(UUID(int=7), "draw", status, due_at, due_in_s > 0, NOW, NOW, suspicion)


PENDING, RUNNING = row(Status.PENDING), row(Status.IN_PROGRESS)
LATER = row(Status.PENDING, due_in_s=60)
OVERDUE = row(Status.PENDING, due_in_s=-60)
SUSPECT = row(Status.PENDING, suspicion=1)


@pytest.mark.parametrize(
    ("known", "due_in_s", "kind"),
    [
        (None, None, None),
        (None, 0, "unknown"),
        (row(Status.COMPLETED), None, None),
        (row(Status.CANCELLED), 0, "ended"),
        (RUNNING, 1800, None),
        (RUNNING, None, "unheld"),
        (RUNNING, -1, "offered"),
        (PENDING, 0, None),
        (PENDING, None, "lost"),
        (PENDING, 4, None),
        (PENDING, 6, "late"),
        (LATER, 60, None),
        (LATER, 66, "late"),
        (LATER, 0, "early"),
        (OVERDUE, -60, None),
        (OVERDUE, 6, "late"),
        (SUSPECT, 30, None),
        (SUSPECT, None, "lost"),
    ],
)
def test_what_goes_together_and_what_does_not(known: Looked | None, due_in_s: float | None, kind: str | None) -> None:
    due_ms = None if due_in_s is None else to_ms(NOW) + due_in_s * 1000
    assert disagreement(known, due_ms) == kind
    assert kind is None or kind in MEANINGS


@pytest.mark.parametrize(
    ("row_due_in_s", "due_in_s", "sound"),
    [
        (5, 5, True),
        (-5, -5, True),
        (5, 6, False),
        (5, None, False),
        (None, 5, True),
        (None, -5, False),
        (None, None, False),
    ],
)
def test_at_first_sight(row_due_in_s: float | None, due_in_s: float | None, sound: bool) -> None:
    now = to_ms(NOW)
    at = [None if each is None else now + each * 1000.0 for each in (row_due_in_s, due_in_s)]
    assert agree(Active(UUID(int=7), at[0]), at[1], now=now) == sound
