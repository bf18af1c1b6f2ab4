"""What of the API's answers is read, as models; what they are documented as is in `api/answers.py`."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from jobrunner import shown
from jobrunner.remote.problems import Problem, unreadable

M = TypeVar("M", bound=BaseModel)


class Accepted(BaseModel):
    """A submitted job; with `Prefer: wait` it may have ended already."""

    id: UUID


class Taken(BaseModel):
    """One item of a batch: the job, or why there is none."""

    job: Accepted | None = None
    problem: Problem | None = None


class Batch(BaseModel):
    data: list[Taken]


class JobWithSteps(shown.Job):
    steps: list[shown.Step]


class Jobs(BaseModel):
    data: list[shown.Job]
    next_cursor: str | None


class Logs(BaseModel):
    data: list[shown.LogLine]
    next_cursor: str | None
    has_more: bool


class Tasks(BaseModel):
    data: list[shown.Task]


def read_as(model: type[M], answer: Mapping[str, Any]) -> M:
    """Raises ApiError `answer_unreadable`."""
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise unreadable(f"The answer does not read as {model.__name__}: {where}: {first['msg']}.", 200) from None
