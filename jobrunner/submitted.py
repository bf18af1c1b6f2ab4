"""What a submit answers: a job to follow to its end. Pure."""

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast
from uuid import UUID

from pydantic import BaseModel

from jobrunner import shown
from jobrunner.errors import JobFailed
from jobrunner.job import Status

R = TypeVar("R")


class Follows(Protocol):
    """Who can say how a job stands, and end it."""

    async def get(self, job_id: UUID) -> shown.Job:
        """The job as it stands now. Raises NotFound, Unavailable."""

    async def wait(self, job_id: UUID, timeout_s: float | None = None) -> shown.Job:
        """The job once it has ended, well or not. Raises NotFound, TimeoutError (the job goes on), Unavailable."""

    async def cancel(self, job_id: UUID) -> shown.Job:
        """A pending job is cancelled at once; a running one is asked to end. Raises NotFound, Conflict, Unavailable."""


@dataclass(frozen=True, slots=True)
class SubmittedJob(Generic[R]):
    """`model` is what its result is read as; None leaves it plain JSON."""

    id: UUID
    runner: Follows
    model: type[BaseModel] | None = None
    status: str = "queued"

    async def result(self, timeout: float | None = None) -> R:  # noqa: ASYNC109  # the field's word
        """The task's result, as its model. `timeout` in seconds.

        Raises JobFailed, TimeoutError (the job goes on), Unavailable, and pydantic's ValidationError where the task
        that ran returned what this process' model of it does not take.
        """
        job = await self.runner.wait(self.id, timeout)
        if job.status is not Status.COMPLETED:
            why = job.error.message if job.error else "no reason was kept"
            record = job.error.model_dump(mode="json", exclude_none=True) if job.error else None
            raise JobFailed(f"Job {job.id} {job.status}: {why}", error=record)
        result: Any = job.result if self.model is None else self.model.model_validate(job.result)
        return cast("R", result)

    async def refresh(self) -> shown.Job:
        """The job as it stands now. Raises NotFound, Unavailable."""
        return await self.runner.get(self.id)

    async def cancel(self) -> shown.Job:
        """A pending job is cancelled at once; a running one is asked to end. Raises NotFound, Conflict, Unavailable."""
        return await self.runner.cancel(self.id)
