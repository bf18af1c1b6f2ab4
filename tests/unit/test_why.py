"""Why a job is not running: each cause in words that say what to do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from jobrunner.client.why import why
from jobrunner.job import Job, Status
from jobrunner.store.crew import Circumstances

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
JOB = Job(
    *(UUID(int=7), "draw", "image", Status.PENDING, {}, "arq:queue", NOW, NOW, NOW),
    retries=3,
    fence=0,
    failures=0,
    crashes=0,
)
RUNNING = JOB._replace(status=Status.IN_PROGRESS, fence=1, worker_id=UUID(int=1))
AROUND = Circumstances(at=NOW, alive=2, able=2, free=5, held_until=None)


def said(job: Job, **around: Any) -> str:
    words = why(job, replace(AROUND, **around))
    assert words is not None
    return words


def test_a_running_job_needs_no_reason() -> None:
    assert why(RUNNING, replace(AROUND, held_until=NOW + timedelta(seconds=1))) is None


@pytest.mark.parametrize(("alive", "remedy"), [(1, "takes the job over"), (0, "start `jobrunner worker`")])
def test_a_job_whose_worker_died_waits_for_its_rescue(alive: int, remedy: str) -> None:
    words = said(RUNNING, held_until=NOW - timedelta(seconds=1), alive=alive)
    assert "lease of its worker ended at 2026-11-23 11:59:59 UTC" in words
    assert remedy in words


@pytest.mark.parametrize(
    ("ahead", "length"),
    [
        (timedelta(milliseconds=1), "in 1 s"),
        (timedelta(seconds=90), "in 90 s"),
        (timedelta(minutes=7), "in 7 min"),
        (timedelta(hours=26), "in 26 h"),
        (timedelta(days=3), "in 3 days"),
    ],
)
def test_a_job_submitted_for_later_names_its_time(ahead: timedelta, length: str) -> None:
    due_at = NOW + ahead
    assert said(JOB._replace(due_at=due_at), alive=0) == (
        f"It was submitted to run at {due_at:%Y-%m-%d %H:%M:%S} UTC, {length}."
    )


def test_a_job_that_failed_names_its_error_and_what_is_left_of_its_budget() -> None:
    error = {"code": "transient", "message": "openai cannot be asked now."}
    waiting = JOB._replace(due_at=NOW + timedelta(seconds=41), fence=2, failures=2, error=error)
    words = said(waiting)
    assert "transient: openai cannot be asked now. It runs again at 2026-11-23 12:00:41 UTC, in 41 s" in words
    assert "failed 2 of the 4 times" in words
    limited = said(waiting._replace(error={"code": "rate_limited", "message": "replicate answers HTTP 429"}))
    assert "replicate answers HTTP 429. It goes on at" in limited
    assert "nothing is counted" in limited


def test_a_job_that_was_put_off_waits_for_a_server_that_fails() -> None:
    words = said(JOB._replace(due_at=NOW + timedelta(seconds=9), fence=1))
    assert "left alone for a while" in words
    assert "in 9 s" in words


@pytest.mark.parametrize(
    ("changes", "around", "words"),
    [
        ({}, {"alive": 0, "able": 0, "free": 0}, "No worker is alive on its queue, 'arq:queue': start"),
        ({}, {"able": 0, "free": 0}, "knows the task 'draw': add its module to `task_modules`"),
        ({"module": ""}, {}, "An application inserted it"),
        ({"suspicion": 1, "fence": 1}, {}, "apart from them, in a ward"),
        ({}, {"free": 0}, "All workers that know its task are full"),
        ({"due_at": NOW - timedelta(seconds=4)}, {}, "within moments"),
        ({"due_at": NOW - timedelta(seconds=6)}, {}, "due since 2026-11-23 11:59:54 UTC and workers have free slots"),
    ],
)
def test_a_due_job_names_what_keeps_it(changes: dict[str, Any], around: dict[str, Any], words: str) -> None:
    assert words in said(JOB._replace(**changes), **around)


def test_a_row_that_nobody_looked_at_is_not_taken_for_one_submitted_for_later() -> None:
    assert "An application inserted it" in said(JOB._replace(module="", due_at=NOW + timedelta(hours=1)))
