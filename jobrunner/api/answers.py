"""What the API answers beside what `shown` has: documented by these models, and held to them by tests."""

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime

from jobrunner.job import Status as JobStatus
from jobrunner.shown import FieldError, Job, Shown, Step, Task


class Problem(Shown):
    """Every error, as RFC 9457 has it."""

    type: str
    """`urn:jobrunner:` and the code."""
    title: str
    status: int
    detail: str
    """What happened, and what to do."""
    code: str
    """A word that stays the same: let programs decide by it."""
    retryable: bool
    """Whether the same request may go well later."""
    errors: list[FieldError]
    """What is wrong with which fields; 20 at most."""


class SignedUrl(Shown):
    """A URL that downloads one file, for whoever holds it."""

    url: str
    """Relative to this server."""
    expires_at: AwareDatetime


class JobWithSteps(Job):
    """One run of a task, with its steps."""

    steps: list[Step]


class Jobs(Shown):
    """A page of jobs."""

    data: list[Job]
    next_cursor: str | None
    """Send it as `cursor` for the next page."""
    has_more: bool


class JobUrls(Shown):
    self: str
    cancel: str
    retry: str


class Accepted(Shown):
    """The job is kept: it will run, whatever breaks."""

    id: UUID
    task_id: UUID
    """The same as `id`."""
    status: Literal["queued"]
    urls: JobUrls


class Taken(Shown):
    """A submission of a batch that is kept."""

    status: Literal[202]
    job: Accepted


class Refused(Shown):
    """A submission of a batch that is not."""

    status: int
    """As its own request would have been answered."""
    problem: Problem


class BatchAnswer(Shown):
    data: list[Taken | Refused]
    """One for each submission, in order."""


class Changes(Shown):
    """What a verb did to the jobs that fit a filter."""

    matched: int
    """How many this call looked at."""
    changed: int
    """How many of them it changed; the others had moved on by themselves."""
    next_cursor: str | None
    """Send it as `cursor`, with the same filter, to go on."""
    has_more: bool


class Delivery(Shown):
    """What one webhook was told."""

    id: UUID
    """Of the job that delivers it."""
    message_id: str
    """The `webhook-id` header: the receiver knows a repetition by it."""
    type: str
    url: str
    status: JobStatus
    attempts: int
    last_answer: str | None
    due_at: AwareDatetime | None
    """When it is told next."""
    created_at: AwareDatetime
    completed_at: AwareDatetime | None


class DisabledWebhook(Shown):
    """A receiver that nothing is sent to before a replay."""

    url: str
    reason: str
    disabled_at: AwareDatetime


class Webhooks(Shown):
    data: list[Delivery]
    disabled: list[DisabledWebhook]


class Tasks(Shown):
    data: list[Task]


class Server(Shown):
    name: Literal["jobrunner"]
    version: str
    links: dict[str, str]


class Alive(Shown):
    status: Literal["ok"]


class Check(Shown):
    ok: bool
    detail: str
    """What was found, or what to do."""


class Readiness(Shown):
    status: Literal["ok", "unavailable"]
    checks: dict[str, Check]
