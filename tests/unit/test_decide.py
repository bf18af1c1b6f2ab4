"""What an attempt's end means for its job, as a user of retries and limits reads it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.errors import (
    AttemptError,
    InvalidParams,
    JobFailed,
    PermanentError,
    RateLimited,
    Retry,
    SubmitUnknown,
    TransientError,
)
from jobrunner.job import (
    RATE_LIMIT_PAUSE_S,
    RETRY_AFTER_CAP_S,
    TERMINAL,
    TRANSITIONS,
    Backoff,
    Cancelled,
    HandedBack,
    Job,
    Outcome,
    Raised,
    Returned,
    Status,
    TimedOut,
    Transition,
    decide,
)

NOW = datetime(2026, 11, 23, tzinfo=UTC)
BACKOFF = Backoff()


def job(*, retries: int = 3, failures: int = 0) -> Job:
    return Job(
        *(UUID(int=1), "draw", "image", Status.IN_PROGRESS, {}, "arq:queue", NOW, NOW, NOW),
        retries=retries,
        fence=failures + 1,
        failures=failures,
        crashes=0,
    )


def after(error: BaseException, *, retries: int = 3, failures: int = 0) -> Transition:
    return decide(job(retries=retries, failures=failures), Raised(error), backoff=BACKOFF, jitter=0.0)


jitters = st.floats(0, 1, exclude_max=True)
waits = st.none() | st.floats(0, 1e9)
backoffs = st.builds(Backoff, first_s=st.floats(0.01, 60), cap_s=st.floats(0.01, 3600), factor=st.floats(1, 10))
transients = st.sampled_from([TransientError("503"), TransientError("reset", code="narrowed"), Retry()])
errors = transients | st.sampled_from(
    [
        PermanentError("no"),
        SubmitUnknown("lost"),
        RateLimited("later"),
        AttemptError("plain"),
        JobFailed("another job's"),
        InvalidParams("of a job that this one submitted"),
        ValueError("a bug"),
        KeyError(),
    ]
)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Returned, st.none() | st.dictionaries(st.text(), st.integers())),
    st.builds(Raised, errors),
    st.builds(TimedOut, soft=st.booleans(), after_s=st.floats(0, 1e6)),
    st.builds(Cancelled, st.just({"generate": "cancelled"})),
    st.just(HandedBack()),
)


@given(backoff=backoffs, failures=st.integers(1, 10_000), jitter=jitters)
def test_a_backoff_lies_in_the_upper_half_of_its_step_and_never_past_its_cap(
    backoff: Backoff, failures: int, jitter: float
) -> None:
    full = backoff.delay_s(failures, 1.0)
    assert full / 2 <= backoff.delay_s(failures, jitter) <= full <= backoff.cap_s
    assert full <= backoff.delay_s(failures + 1, 1.0)


def test_the_default_backoff_doubles_from_two_seconds_to_a_minute() -> None:
    assert [BACKOFF.delay_s(n, 1.0) for n in range(1, 8)] == [2, 4, 8, 16, 32, 60, 60]


@given(outcome=outcomes, retries=st.integers(0, 5), failures=st.integers(0, 5))
def test_every_end_is_an_allowed_transition_that_never_lowers_the_count(
    outcome: Outcome, retries: int, failures: int
) -> None:
    end = decide(job(retries=retries, failures=failures), outcome, backoff=BACKOFF)
    assert end.status in TRANSITIONS[Status.IN_PROGRESS]
    assert failures <= end.failures <= failures + 1
    assert end.delay_s >= 0
    assert (end.status is Status.FAILED) <= (end.error is not None)
    assert (end.status is Status.COMPLETED) == (end.error is None and not isinstance(outcome, HandedBack))


@given(st.lists(transients | st.just(RateLimited("later")) | st.just(None), min_size=30), st.integers(0, 8))
def test_a_job_fails_at_most_retries_plus_one_times(ends: list[AttemptError | None], retries: int) -> None:
    """`None` is a deploy's hand-back, which like a rate limit may come any number of times."""
    at, counted = job(retries=retries), 0
    for error in ends:
        outcome = HandedBack() if error is None else Raised(error)
        end = decide(at, outcome, backoff=BACKOFF)
        counted += error is not None and not isinstance(error, RateLimited)
        assert end.failures == counted <= retries + 1
        assert (end.status is Status.FAILED) == (counted == retries + 1)
        if end.status.terminal:
            return
        at = job(retries=retries, failures=end.failures)


@given(asked_s=waits, failures=st.integers(0, 10), jitter=jitters)
def test_a_rate_limit_costs_no_failure_and_is_waited_out_up_to_the_cap(
    asked_s: float | None, failures: int, jitter: float
) -> None:
    at = job(retries=0, failures=failures)
    end = decide(at, Raised(RateLimited("later", retry_after_s=asked_s)), backoff=BACKOFF, jitter=jitter)
    wait_s = min(RATE_LIMIT_PAUSE_S if asked_s is None else asked_s, RETRY_AFTER_CAP_S)
    assert (end.status, end.failures) == (Status.PENDING, failures)
    assert wait_s <= end.delay_s <= wait_s + BACKOFF.first_s


@given(st.timedeltas(timedelta(milliseconds=1), timedelta(days=30)))
def test_a_task_that_asks_for_another_attempt_gets_it_at_its_time(wait: timedelta) -> None:
    assert after(Retry(after=wait)).delay_s == wait.total_seconds()
    assert after(Retry(after=wait.total_seconds())) == after(Retry(after=wait))


def test_a_task_that_asks_without_a_time_backs_off_and_stays_within_its_budget() -> None:
    assert after(Retry()).delay_s == BACKOFF.delay_s(1, 0.0)
    assert after(Retry(after=5), failures=3).status is Status.FAILED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermanentError("no"), "permanent"),
        (PermanentError("no", code="content_policy"), "content_policy"),
        (SubmitUnknown("the answer was lost"), "submit_outcome_unknown"),
        (ValueError("a bug"), "task_error"),
        (BaseExceptionGroup("of a TaskGroup", [ValueError()]), "task_error"),
    ],
    ids=repr,
)
def test_what_would_fail_or_buy_again_ends_at_once(error: BaseException, code: str) -> None:
    end = after(error)
    assert end.error is not None
    assert (end.status, end.failures, end.error["code"]) == (Status.FAILED, 1, code)


@pytest.mark.parametrize(
    ("error", "message"), [(ValueError("a bug"), "ValueError: a bug"), (KeyError(), "KeyError")], ids=repr
)
def test_a_bug_is_told_by_its_type_and_words(error: Exception, message: str) -> None:
    assert after(error).error == {"code": "task_error", "message": message, "retryable": False}


def test_the_record_keeps_the_providers_own_words() -> None:
    error = TransientError("503", provider="replicate", request_id="r1", provider_code="E1000")
    assert after(error).error == {
        "code": "transient",
        "message": "503",
        "retryable": True,
        "provider": "replicate",
        "request_id": "r1",
        "provider_code": "E1000",
    }


@pytest.mark.parametrize(("soft", "code"), [(True, "soft_timeout"), (False, "timeout")])
def test_a_timeout_says_which_and_how_to_raise_it(soft: bool, code: str) -> None:
    end = decide(job(), TimedOut(soft=soft, after_s=1500), backoff=BACKOFF)
    assert end.error is not None
    assert (end.status, end.error["code"]) == (Status.FAILED, code)
    assert "draw" in end.error["message"]
    assert "0:25:00" in end.error["message"]
    assert f"`{code}=`" in end.error["message"]


def test_a_result_a_cancel_and_a_hand_back_count_nothing() -> None:
    ends = [
        decide(job(failures=2), outcome, backoff=BACKOFF)
        for outcome in (Returned({"n": 1}, "/v1/artifacts/a"), Cancelled({"generate": "too_late"}), HandedBack())
    ]
    assert ends[0] == Transition(Status.COMPLETED, 2, result={"n": 1}, result_url="/v1/artifacts/a")
    assert (ends[1].status, ends[1].failures) == (Status.CANCELLED, 2)
    assert ends[1].error is not None
    assert ends[1].error["upstream"] == {"generate": "too_late"}
    assert ends[2] == Transition(Status.PENDING, 2)


def test_nothing_leaves_an_end_but_a_persons_retry() -> None:
    assert set(TRANSITIONS) == set(Status)
    assert {status for status in Status if status.terminal} == TERMINAL
    assert TRANSITIONS[Status.COMPLETED] == frozenset()
    for ended in (Status.FAILED, Status.CANCELLED):
        assert TRANSITIONS[ended] == {Status.PENDING}
