"""What the reader of a stream knows of its job, and so what is news. Pure."""

from dataclasses import dataclass
from typing import Any, Self

from jobrunner.broker.changes import Change, Position, position_text, read_position
from jobrunner.job import Job, Status, job_json

_NO_ATTEMPT = -1
"""Older than any that a row can name."""


@dataclass(slots=True)
class Told:
    """`at` is the last change that was looked at. `progress` is (fraction, note); None where we cannot know it."""

    at: Position
    attempt: int
    status: Status
    progress: tuple[float | None, str | None] | None = None

    @classmethod
    def nothing(cls, at: Position) -> Self:
        """Any row is news, and of the changes those after `at`."""
        return cls(at, _NO_ATTEMPT, Status.PENDING)

    @classmethod
    def read(cls, event_id: str) -> Self | None:
        """By the id of the last event that the reader got. None for what is no id of ours."""
        try:
            position, attempt, status = event_id.split(":")
            at = read_position(position)
            return None if at is None else cls(at, int(attempt), Status(status))
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{position_text(self.at)}:{self.attempt}:{self.status}"

    def stands(self, job: Job) -> None:
        """The reader gets the row as it is."""
        self.attempt, self.status, self.progress = job.fence, job.status, _progress(job)

    def knows(self, job: Job) -> bool:
        """Whether the row, read after every change that was taken, says the same."""
        return self.is_at(job) and self.progress in (None, _progress(job))

    def is_at(self, job: Job) -> bool:
        return (self.attempt, self.status) == (job.fence, job.status)

    def take(self, change: Change) -> dict[str, Any] | None:
        """What is to be told of the change; None if the reader knows that, or better."""
        if change.at <= self.at:
            return None
        self.at = change.at
        said = change.read()
        if said is None:
            return None
        attempt, status = said["attempt"], Status(said.get("status", Status.IN_PROGRESS))
        if _age(attempt, status) < _age(self.attempt, self.status):
            return None  # each writer appends for itself: this one came after its successor
        before = (self.attempt, self.status, self.progress)
        if change.kind == "status":
            self.attempt, self.status = attempt, status
        elif change.kind == "progress":
            self.progress = said["progress"], said["progress_note"]
        else:
            return said
        return None if before == (self.attempt, self.status, self.progress) else said


def _age(attempt: int, status: Status) -> tuple[int, bool]:
    """Grows with every claim and every end of an attempt."""
    return attempt, status is not Status.IN_PROGRESS


def _progress(job: Job) -> tuple[float | None, str | None]:
    return job_json(job, ())["progress"], job.progress_note
