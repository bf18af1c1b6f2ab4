"""A job, its states, how it is shown, and the one function that decides what an attempt's end means. Pure."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from jobrunner.errors import (
    JobrunnerError,
    PermanentError,
    PutOff,
    RateLimited,
    Retry,
)
from jobrunner.work import Artifact

CRASH_LIMIT = 3
"""A job whose worker died under it this often ends `failed: worker_crashed`."""

RETRY_AFTER_CAP_S = 900.0
"""However long a provider asks us to wait, we ask again after this many seconds at the latest."""

RATE_LIMIT_PAUSE_S = 10.0
"""How long to wait after a rate limit that named no time."""


class Status(StrEnum):
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.IN_PROGRESS, Status.CANCELLED, Status.FAILED}),
    Status.IN_PROGRESS: frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.PENDING}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset({Status.PENDING}),  # only a person's retry
    Status.CANCELLED: frozenset({Status.PENDING}),  # only a person's retry
}
"""The same table stands as a guard in the database (migrations/0001_init.sql); a test compares the two."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds before the n-th repetition: `first_s * factor ** n`, at most `cap_s`, with full-half jitter.

    `schedule_s`, where given, names them one by one instead; its last one goes on.
    """

    first_s: float = 2.0
    cap_s: float = 60.0
    factor: float = 2.0
    schedule_s: tuple[float, ...] = ()

    def delay_s(self, failures: int, jitter: float) -> float:
        """`failures` counts from 1; `jitter` in [0, 1) spreads the result over its upper half."""
        if self.schedule_s:
            full = self.schedule_s[min(failures, len(self.schedule_s)) - 1]
        else:
            full = min(self.cap_s, self.first_s * self.factor ** min(failures - 1, 32))
        return full * (0.5 + 0.5 * jitter)


class Job(NamedTuple):
    """One row of `jobrunner.jobs`, as everyone above the store sees it. Times are UTC.

    A tuple, since thousands a second are made of rows: a dataclass would set its thirty fields one by one.
    """

    id: UUID
    task: str
    module: str
    status: Status
    params: Mapping[str, Any]
    queue: str
    created_at: datetime
    updated_at: datetime
    due_at: datetime
    retries: int
    fence: int
    failures: int
    crashes: int
    suspicion: int = 0
    user_id: str | None = None
    record_id: str | None = None
    idempotency_key: str | None = None
    metadata: Mapping[str, Any] | None = None
    worker_id: UUID | None = None
    result: Any = None
    result_url: str | None = None
    error: Mapping[str, Any] | None = None
    errors: Sequence[Mapping[str, Any]] = ()
    progress: float | None = None
    progress_note: str | None = None
    cancel_requested_at: datetime | None = None
    irrevocable_at: datetime | None = None
    """Since when a signed transaction of it may be in the chain: it can be cancelled no more."""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    webhook: str | None = None


# ---- how a job is shown ------------------------------------------------------------------------

_PLAIN = (
    *("id", "task", "module", "status", "params", "result", "result_url", "error", "errors", "progress_note"),
    *("failures", "crashes", "retries", "user_id", "record_id", "metadata", "due_at", "created_at", "started_at"),
    *("completed_at", "updated_at"),
)
_OF_ARTIFACTS = ("id", "url", "kind", "mime", "size_bytes", "sha256", "width", "height", "duration_s")


def job_json(job: Job, artifacts: Sequence[Artifact]) -> dict[str, Any]:
    """The job as the API, the command line and webhooks show it, with those of `artifacts` that are its own."""
    return {
        **{name: getattr(job, name) for name in _PLAIN},
        "task_id": job.id,
        "attempt": job.fence,
        "progress": None if job.progress is None else round(job.progress, 4),  # float4 in the row
        "cancel_requested": job.cancel_requested_at is not None,
        "artifacts": [artifact_json(each) for each in artifacts if each.job_id == job.id],
    }


def artifact_json(artifact: Artifact) -> dict[str, Any]:
    return {name: getattr(artifact, name) for name in _OF_ARTIFACTS}


# ---- telling of a job's end --------------------------------------------------------------------

WEBHOOK_MODULE = "webhook"
"""Jobs of this module deliver webhooks: nobody submits them, and no webhook tells of their own end."""

WEBHOOK_TASK = "deliver_webhook"

_HOURS = (2, 5, 10, 14, 20, 24, 24)
WEBHOOK_BACKOFF = Backoff(schedule_s=(5, 5 * 60, 30 * 60, *(3600.0 * hours for hours in _HOURS)))
"""About three days with the jitter (Standard Webhooks' example schedule, and one more day)."""


# ---- how an attempt can end --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Returned:
    """`result` is the task's result as JSON; `url` is the artifact to show for it, if there is one."""

    result: Any
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Raised:
    error: BaseException


@dataclass(frozen=True, slots=True)
class TimedOut:
    """`soft`: the function let SoftTimeout pass; otherwise it was cancelled at the hard timeout."""

    soft: bool
    after_s: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A person asked for it. `upstream` is what the provider answered to our cancel, by step name."""

    upstream: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The worker is shutting down and gives the job to another; nothing is counted."""


Outcome = Returned | Raised | TimedOut | Cancelled | HandedBack


@dataclass(frozen=True, slots=True)
class Transition:
    """What to write. `error` is appended to the row's history too; `delay_s` counts from the database's now."""

    status: Status
    failures: int
    result: Any = None
    result_url: str | None = None
    error: Mapping[str, Any] | None = None
    delay_s: float = 0.0


def decide(job: Job, outcome: Outcome, *, backoff: Backoff, jitter: float | None = None) -> Transition:
    """What an attempt's end means for its job.

    `jitter` in [0, 1) is drawn at random unless given. Never raises.
    """
    draw = random.random() if jitter is None else jitter  # noqa: S311  # spreads load, guards nothing
    match outcome:
        case Returned(result, url):
            return Transition(Status.COMPLETED, job.failures, result=result, result_url=url)
        case Cancelled(upstream):
            message = "Cancelled on request."
            record = {"code": "cancelled", "message": message, "retryable": False, "upstream": dict(upstream)}
            return Transition(Status.CANCELLED, job.failures, error=record)
        case HandedBack():
            return Transition(Status.PENDING, job.failures)
        case TimedOut(soft, after_s):
            return Transition(Status.FAILED, job.failures + 1, error=_timeout_record(job, after_s, soft=soft))
        case Raised(error):
            return _after_error(job, error, backoff, draw)


def _after_error(job: Job, error: BaseException, backoff: Backoff, jitter: float) -> Transition:
    if isinstance(error, PutOff):
        return Transition(Status.PENDING, job.failures, delay_s=error.delay_s)
    if isinstance(error, RateLimited):
        wait_s = RATE_LIMIT_PAUSE_S if error.retry_after_s is None else error.retry_after_s
        # A little over what was asked, spread out, so that a crowd does not return in the same instant.
        delay_s = min(wait_s, RETRY_AFTER_CAP_S) + jitter * backoff.first_s
        return Transition(Status.PENDING, job.failures, error=error.record(), delay_s=delay_s)
    failures = job.failures + 1
    record = error.record() if isinstance(error, JobrunnerError) else _unexpected_record(error)
    if not record["retryable"] or failures > job.retries:
        return Transition(Status.FAILED, failures, error=record)
    asked_s = error.after_s if isinstance(error, Retry) else 0.0
    return Transition(Status.PENDING, failures, error=record, delay_s=asked_s or backoff.delay_s(failures, jitter))


def _timeout_record(job: Job, after_s: float, *, soft: bool) -> dict[str, Any]:
    limit = str(timedelta(seconds=after_s))
    which = "soft_timeout" if soft else "timeout"
    message = (
        f"{job.task} passed its {'soft' if soft else 'hard'} timeout of {limit}. "
        f"Raise `{which}=` in its @task, or retry the job if the provider was slow."
    )
    return {"code": which, "message": message, "retryable": False}


def _unexpected_record(error: BaseException) -> dict[str, Any]:
    """A bug or a foreign exception inside a task: permanent, since running the same code again buys again."""
    return PermanentError(
        f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, code="task_error"
    ).record()
