"""What the API answers beside what `shown` has: documented by these models, and held to them by tests."""

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime

from jobrunner.job import Status as JobStatus
from jobrunner.settings.tables import Scope
from jobrunner.shown import Artifact, FieldError, Job, LogLine, Shown, Step, Task


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
    why: str | None
    """Why it is not running, in words; null where it runs or has ended."""


class Jobs(Shown):
    """A page of jobs."""

    data: list[Job]
    next_cursor: str | None
    """Send it as `cursor` for the next page."""
    has_more: bool


class MadeArtifact(Artifact):
    """A file that a job made."""

    job_id: UUID
    task: str
    user_id: str | None
    created_at: AwareDatetime


class Artifacts(Shown):
    """A page of files."""

    data: list[MadeArtifact]
    next_cursor: str | None
    """Send it as `cursor` for the next page."""
    has_more: bool


class Logs(Shown):
    """A page of what a job's task logged; of a job's lines the newest 1,000 are kept."""

    data: list[LogLine]
    next_cursor: str | None
    """Send it as `cursor` for what comes after, also once `has_more` is false; null where nothing was said yet."""
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


class Session(Shown):
    """Who asks, for a page that shows it."""

    caller: str | None
    """The name of the key; null: nobody is signed in."""
    scopes: list[Scope]
    user_id: str | None
    """Whose jobs are all that the caller sees; null: everybody's."""
    token: str | None
    """What to send as `X-Jobrunner-Token`; null where the caller came without a cookie."""
    expires_at: AwareDatetime | None
    keys: bool
    """Whether the server asks for keys at all."""


class Alive(Shown):
    status: Literal["ok"]


class Check(Shown):
    ok: bool
    detail: str
    """What was found, or what to do."""


class Readiness(Shown):
    status: Literal["ok", "unavailable"]
    checks: dict[str, Check]


Minutely = list[float | None]
"""One for each minute of the last hour, the oldest first; null: nothing was to be measured."""


class TaskOverview(Shown):
    task: str
    module: str
    pending: int
    in_progress: int
    completed_1h: int
    failed_1h: int
    oldest_pending_s: float | None
    """For how long the one that waits longest has been due; null: none is."""
    wait_s: float | None
    """How long one waits that is submitted now, estimated; null: nobody knows."""
    ended_per_minute: list[int]
    """Completed, failed or cancelled, of those that ran; for each minute of the last hour, the oldest first."""
    median_s: Minutely
    """How long those ran that completed."""


class ProviderOverview(Shown):
    provider: str
    in_progress: int
    """Jobs with work under way there."""
    calls_1h: int
    """How often work was asked for."""
    errors_1h: int
    """How often it was refused or failed, 429s aside."""
    limited_1h: int
    """How often the provider answered 429, also when it was asked how the work goes."""
    spent_1h: dict[str, float]
    """What it says that the work cost, by unit: `USD`, `credits`, `seconds` ..."""
    calls_per_minute: list[int]
    median_s: Minutely
    """From the decision to buy until what was made is ours."""
    state: Literal["ok", "limited", "left_alone"]
    """`limited`: it answers 429. `left_alone`: it fails, and is tried by one job at a time."""
    since: AwareDatetime | None
    waiting: int
    """Jobs that wait because it failed or limited their last attempt, or because it is left alone."""


class WorkerOverview(Shown):
    id: UUID
    host: str
    pid: int
    version: str
    queue: str
    started_at: AwareDatetime
    renewed_at: AwareDatetime
    lease_until: AwareDatetime
    max_jobs: int
    in_flight: int
    loop_lag_ms: float | None
    """By how much its event loop was late at the worst, between its last two heartbeats."""
    memory_bytes: int | None
    alive: bool


class Trouble(Shown):
    severity: Literal["error", "warning"]
    what: str
    since: AwareDatetime | None
    jobs: int | None
    """How many wait for its end."""
    remedy: str


class Overview(Shown):
    """How things stand. A caller that is bound to a user gets its own jobs' counts, and the other lists empty."""

    at: AwareDatetime
    tasks: list[TaskOverview]
    providers: list[ProviderOverview]
    workers: list[WorkerOverview]
    """Those that live, are overdue, or died within ten minutes."""
    servers: dict[str, Check]
    problems: list[Trouble]
    """The worst first."""
