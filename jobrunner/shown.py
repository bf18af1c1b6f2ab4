"""What callers are shown of jobs, steps, files and tasks: the same in process and over HTTP. Pure.

A server that is newer than its client may show more: what is not named here is not read.
"""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from jobrunner.job import Status as JobStatus
from jobrunner.work import Kind, Level

EventKind = Literal["status", "progress", "step", "preview", "log"]
"""What can happen to a job."""

StepState = Literal["intent", "running", "done", "failed"]


class Shown(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class FieldError(Shown):
    """What is wrong with one field."""

    path: str
    """Where it is, e.g. `params.size`."""
    message: str
    type: str


class JobError(Shown):
    """Why an attempt, or the job, ended badly."""

    code: str
    message: str
    retryable: bool = False
    provider: str | None = None
    request_id: str | None = None
    """The provider's name for the request, which its support asks for."""
    provider_code: str | None = None
    """The provider's own word."""
    upstream: Mapping[str, str] | None = None
    """What the provider answered to a cancellation, by step: `cancelled`, `too_late` or `unknown`."""
    errors: list[FieldError] | None = None
    attempt: int | None = None
    at: AwareDatetime | None = None


class Artifact(Shown):
    """A file of ours. Sizes in pixels."""

    id: UUID
    url: str
    """Where it is served; relative to this server."""
    kind: Kind
    mime: str
    size_bytes: int
    sha256: str
    width: int | None
    height: int | None
    duration_s: float | None


class Money(Shown):
    amount: str
    """A decimal number."""
    unit: Literal["usd", "credits", "tokens", "seconds", "gas"]


class Step(Shown):
    """A piece of a job that is never done twice."""

    name: str
    state: StepState
    provider: str | None
    model: str | None
    remote_id: str | None
    """The provider's id for the work."""
    attempt: int
    cost: Money | None
    """What the provider says it cost."""
    error: JobError | None
    created_at: AwareDatetime


class Job(Shown):
    """One run of a task."""

    id: UUID
    task_id: UUID
    """The same as `id`."""
    task: str
    module: str
    status: JobStatus
    params: Mapping[str, Any]
    result: Any
    """What the task returned; null until then."""
    result_url: str | None
    """The artifact to show for it, if there is one."""
    error: JobError | None
    """Why it ended badly, or why its last attempt did."""
    errors: list[JobError]
    """What went wrong so far, the oldest first."""
    progress: float | None
    """From 0 to 1."""
    progress_note: str | None
    attempt: int
    """How often a worker took it up."""
    failures: int
    """How many attempts count against `retries`."""
    crashes: int
    """How many workers died under it; three end it."""
    retries: int
    """How often it may fail and run again."""
    user_id: str | None
    record_id: str | None
    metadata: Mapping[str, Any] | None
    cancel_requested: bool
    artifacts: list[Artifact]
    due_at: AwareDatetime
    """Before then it does not run."""
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    updated_at: AwareDatetime


class LogLine(Shown):
    """What a job's task said of its work."""

    at: AwareDatetime
    attempt: int
    level: Level
    message: str
    fields: Mapping[str, Any]


class Event(Shown):
    """Something that happened to a job; or a `reset`: what is known may be stale, ask again."""

    kind: EventKind | Literal["reset"]
    data: Mapping[str, Any]
    """Its `id`, `task`, `module`, `user_id` and `attempt`, and what is new; nothing in a reset."""


class Task(Shown):
    name: str
    module: str
    summary: str
    timeout_s: float
    soft_timeout_s: float
    retries: int
    params: Mapping[str, Any]
    """JSON Schema of what it takes."""
    result: Mapping[str, Any]
    """JSON Schema of what it returns."""
