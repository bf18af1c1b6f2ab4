"""From an error answer of the API to the exception that the same verb raises in process.

The table decides, by `code`: nothing on the wire names a class.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from jobrunner.errors import (
    ApiError,
    Conflict,
    Forbidden,
    IdempotencyMismatch,
    InvalidParams,
    InvalidRequest,
    JobrunnerError,
    LimitReached,
    NotFound,
    PermanentError,
    RequestError,
    ScopeMissing,
    TooManyJobs,
    TooManyRequests,
    Unauthorized,
    UnknownTask,
    UrlNotAllowed,
)
from jobrunner.shown import FieldError

_SHOWN_CHARS = 200
_DETAIL_CHARS = 4000


class Problem(BaseModel):
    """What we read of a problem document (RFC 9457)."""

    status: int
    code: Annotated[str, Field(max_length=100)]
    detail: Annotated[str, AfterValidator(lambda text: text[:_DETAIL_CHARS])]
    retryable: bool = False
    errors: list[FieldError] = []


_MEDIA: Final = ("media_invalid", "ffmpeg_failed", "ffmpeg_killed", "ffmpeg_missing")
"""What is wrong with an upload, as `jobrunner.media` says it."""


def _listing(made: type[InvalidRequest]) -> Callable[[Problem], JobrunnerError]:
    return lambda problem: made(problem.detail, [each.model_dump() for each in problem.errors])


def _plain(made: type[RequestError]) -> Callable[[Problem], JobrunnerError]:
    return lambda problem: made(problem.detail)


def _of_media(problem: Problem) -> JobrunnerError:
    return PermanentError(problem.detail, code=problem.code)


_PLAIN = (
    *(RequestError, UnknownTask, NotFound, Conflict, IdempotencyMismatch, UrlNotAllowed),
    *(Unauthorized, Forbidden, ScopeMissing),
)
_LIMITS: Final[Mapping[str, type[LimitReached]]] = {
    each.code: each for each in (LimitReached, TooManyRequests, TooManyJobs)
}
_ERRORS: Final[Mapping[str, Callable[[Problem], JobrunnerError]]] = {
    **{each.code: _plain(each) for each in _PLAIN},
    **{code: _plain(each) for code, each in _LIMITS.items()},
    **{each.code: _listing(each) for each in (InvalidRequest, InvalidParams)},
    **dict.fromkeys(_MEDIA, _of_media),
}


def error_of(problem: Problem) -> JobrunnerError:
    """An unknown code becomes an ApiError that bears it."""
    make = _ERRORS.get(problem.code)
    if make is not None:
        return make(problem)
    return ApiError(problem.detail, code=problem.code, http_status=problem.status, retryable=problem.retryable)


def limit_of(problem: Problem | None) -> type[LimitReached]:
    """Which one an answer with status 429 tells of."""
    return LimitReached if problem is None else _LIMITS.get(problem.code, LimitReached)


def read_problem(raw: bytes) -> Problem | None:
    """None for what is no problem document of ours, such as a proxy's page."""
    try:
        return Problem.model_validate(orjson.loads(raw))
    except (orjson.JSONDecodeError, ValidationError):
        return None


def beginning(raw: bytes) -> str:
    """How an answer begins that nobody expected, on one line."""
    text = " ".join(raw[:_SHOWN_CHARS].decode(errors="replace").split())
    return repr(text) if text else "nothing"


def unreadable(what: str, status: int) -> ApiError:
    """The answer came, and is not one of ours."""
    return ApiError(
        f"{what} Is this address jobrunner's API, and of a version that fits this client?",
        code="answer_unreadable",
        http_status=status,
    )


def read_object(raw: bytes, status: int) -> dict[str, Any]:
    """Raises ApiError `answer_unreadable`."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise unreadable(f"The answer (HTTP {status}) is no JSON object; it begins with {beginning(raw)}.", status)
    return value
