"""What is news to the reader of a stream."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from jobrunner.api.streams.told import Told
from jobrunner.broker.changes import Change, moved, progressed, stepped
from jobrunner.job import Job, Status

NOW = datetime(2026, 11, 23, tzinfo=UTC)
JOB = Job(
    *(UUID(int=7), "draw", "image", Status.IN_PROGRESS, {}, "arq:queue", NOW, NOW, NOW),
    retries=3,
    fence=2,
    failures=0,
    crashes=0,
    progress=0.5,
    progress_note="half",
)


def told(**changes: Any) -> Told:
    known = Told.nothing((5, 0))
    known.stands(JOB._replace(**changes))
    return known


def later(change: Change) -> Change:
    return change._replace(at=(5, 1))


def test_an_id_brings_back_what_its_reader_knows() -> None:
    known = told()
    again = Told.read(str(known))
    assert again is not None
    assert (again.at, again.attempt, again.status) == ((5, 0), 2, Status.IN_PROGRESS)
    assert again.knows(JOB)


def test_any_row_is_news_to_who_knows_nothing() -> None:
    assert not Told.nothing((0, 0)).knows(JOB._replace(status=Status.PENDING, fence=0))


@pytest.mark.parametrize(
    ("change", "news"),
    [
        (moved(JOB), False),
        (moved(JOB._replace(fence=1, status=Status.PENDING)), False),
        (moved(JOB._replace(status=Status.COMPLETED)), True),
        (moved(JOB._replace(fence=3)), True),
        (progressed(JOB, 0.5, "half"), False),
        (progressed(JOB, 0.5, "more"), True),
        (progressed(JOB._replace(fence=1), 0.9, "of the attempt before"), False),
        (stepped(JOB, {"name": "ink", "state": "done", "error": None}), True),
        (stepped(JOB._replace(fence=1), {"name": "ink", "state": "done", "error": None}), False),
    ],
)
def test_only_what_is_newer_than_what_was_told_is_news(change: Change, news: bool) -> None:
    known = told()
    assert (known.take(later(change)) is not None) == news
    assert known.at == (5, 1)
    assert told().take(change._replace(at=(5, 0))) is None


def test_a_straggler_of_an_attempt_that_has_ended_is_no_news() -> None:
    assert told(status=Status.PENDING).take(later(progressed(JOB, 0.9, ""))) is None


@pytest.mark.parametrize(
    ("row", "known"),
    [
        (JOB, True),
        (JOB._replace(progress=0.6), False),
        (JOB._replace(status=Status.FAILED), False),
        (JOB._replace(fence=1, status=Status.PENDING), False),
    ],
)
def test_a_row_is_news_where_it_says_something_else(row: Job, known: bool) -> None:
    assert told().knows(row) == known
