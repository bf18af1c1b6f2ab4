"""The verbs of an open JobRunner: one list, which both of its kinds speak (`local` in process, `remote` over HTTP)."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack
from uuid import UUID

from pydantic import BaseModel

from jobrunner import shown
from jobrunner.declare import Runner, SubmitOptions, TaskSpec
from jobrunner.errors import JobrunnerError
from jobrunner.job import Status
from jobrunner.submitted import Follows, SubmittedJob

Task = str | TaskSpec[Any, Any]
"""A task by its name, which this process need not have declared, or as `@task` made it."""

Params = Mapping[str, Any] | BaseModel

PLAIN = SubmitOptions()
"""Nothing said beside the params."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One of many: what `submit` takes."""

    task: Task
    params: Params
    options: SubmitOptions = PLAIN


class Wanted(TypedDict, total=False):
    """Which jobs: those in one of the states `status` that fit all else that is given.

    `created_after` is the first moment that counts, `created_before` the first that does not; both are aware.
    `metadata`: what a job's own must contain. `text`: words, or parts of them, that are all in its params, error or
    record_id, in whatever case; or the beginning of its id.
    """

    status: Collection[Status]
    task: str
    module: str
    user_id: str
    record_id: str
    created_after: datetime
    created_before: datetime
    metadata: Mapping[str, Any]
    text: str


class Watched(TypedDict, total=False):
    """Which events: those of one of the kinds `kind`, of jobs that fit all else that is given.

    The kinds are `status`, `progress`, `step`, `preview` and `log`; `status` is that which the job is then in.
    """

    task: str
    module: str
    user_id: str
    status: Collection[Status]
    kind: Collection[str]


class Verbs(Runner, Follows, Protocol):
    """What `async with JobRunner() as runner` offers.

    Every verb may raise Unavailable; over HTTP also Unauthorized and Forbidden (of the key), LimitReached, and ApiError
    for what has no class here.
    """

    async def submit(self, task: Task, params: Params, options: SubmitOptions = PLAIN) -> SubmittedJob[Any]:
        """A new job. The result of a task that is given by its name stays plain JSON.

        Raises UnknownTask, InvalidRequest (InvalidParams where they do not fit the task), UrlNotAllowed (`webhook`),
        IdempotencyMismatch.
        """

    async def submit_many(self, submissions: Sequence[Submission]) -> list[SubmittedJob[Any] | JobrunnerError]:
        """Many jobs at once, each judged for itself: in its place stands the job, or why there is none.

        Raises Unavailable if some could not be answered: give each its own `idempotency_key`, to come again with all.
        """

    async def retry(self, job_id: UUID) -> shown.Job:
        """Run a failed or cancelled job again. Raises NotFound, Conflict."""

    def search(self, **wanted: Unpack[Wanted]) -> AsyncIterator[shown.Job]:
        """Those jobs, newest first, asked for page by page as you go on. Raises InvalidRequest."""

    async def steps(self, job_id: UUID) -> list[shown.Step]:
        """What the job did and bought, in order. Raises NotFound."""

    def logs(self, job_id: UUID, *, follow: bool = False) -> AsyncIterator[shown.LogLine]:
        """What the job's task logged, oldest first; to `follow` it goes on until the job has ended. Raises NotFound."""

    def events(self, **wanted: Unpack[Watched]) -> AsyncIterator[shown.Event]:
        """What happens to those jobs from now on, without end. After a `reset` among them, what you know may be stale.

        Raises InvalidRequest.
        """

    async def artifacts(self, job_id: UUID) -> list[shown.Artifact]:
        """The files that the job made. Raises NotFound."""

    async def upload(self, source: Path | bytes, *, user_id: str | None = None) -> shown.Artifact:
        """Keep a picture, clip or sound for jobs to use: their params name it by its id.

        `user_id`: whose jobs may name it; without one, everybody's.
        Raises OSError (the file cannot be read), PermanentError (`media_invalid`: it is none of those, or damaged).
        """

    async def download(self, artifact: shown.Artifact, into: Path) -> Path:
        """The file, as `into`, which appears once it is whole and its hash is right.

        Raises NotFound, OSError, PermanentError (`artifact_damaged`).
        """

    async def tasks(self) -> list[shown.Task]:
        """What may be submitted, by name."""


def as_json(params: Params) -> Mapping[str, Any]:
    return params.model_dump(mode="json") if isinstance(params, BaseModel) else params


@asynccontextmanager
async def waiting(job_id: UUID, timeout_s: float | None) -> AsyncIterator[None]:
    """Raises TimeoutError, in words, after `timeout_s`."""
    deadline = asyncio.timeout(timeout_s)
    try:
        async with deadline:
            yield
    except TimeoutError:
        if not deadline.expired():
            raise
        message = f"Job {job_id} has not ended within {timeout_s:g} s. It goes on: wait for it again, or cancel it."
        raise TimeoutError(message) from None
