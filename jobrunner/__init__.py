"""jobrunner: an async-native job runner for slow, paid media-generation APIs.

Importing this reads no settings and connects to nothing; names load when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobrunner.declare import SubmitOptions, TaskContext, task
    from jobrunner.errors import (
        ApiError,
        Conflict,
        Forbidden,
        IdempotencyMismatch,
        InvalidParams,
        JobFailed,
        JobrunnerError,
        LimitReached,
        NotFound,
        PermanentError,
        RateLimited,
        Retry,
        SoftTimeout,
        TransientError,
        Unauthorized,
        Unavailable,
        UnknownTask,
    )
    from jobrunner.job import Backoff, Job
    from jobrunner.request import ImageRequest
    from jobrunner.runner import JobRunner
    from jobrunner.submitted import SubmittedJob
    from jobrunner.verbs import Submission
    from jobrunner.work import Artifact, Generated

_HOMES = {
    "declare": ("SubmitOptions", "TaskContext", "task"),
    "errors": (
        "ApiError",
        "Conflict",
        "Forbidden",
        "IdempotencyMismatch",
        "InvalidParams",
        "JobFailed",
        "JobrunnerError",
        "LimitReached",
        "NotFound",
        "PermanentError",
        "RateLimited",
        "Retry",
        "SoftTimeout",
        "TransientError",
        "Unauthorized",
        "Unavailable",
        "UnknownTask",
    ),
    "job": ("Backoff", "Job"),
    "request": ("ImageRequest",),
    "runner": ("JobRunner",),
    "submitted": ("SubmittedJob",),
    "verbs": ("Submission",),
    "work": ("Artifact", "Generated"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ApiError",
    "Artifact",
    "Backoff",
    "Conflict",
    "Forbidden",
    "Generated",
    "IdempotencyMismatch",
    "ImageRequest",
    "InvalidParams",
    "Job",
    "JobFailed",
    "JobRunner",
    "JobrunnerError",
    "LimitReached",
    "NotFound",
    "PermanentError",
    "RateLimited",
    "Retry",
    "SoftTimeout",
    "Submission",
    "SubmitOptions",
    "SubmittedJob",
    "TaskContext",
    "TransientError",
    "Unauthorized",
    "Unavailable",
    "UnknownTask",
    "task",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'jobrunner' has no attribute {name!r}")
    return getattr(importlib.import_module(f"jobrunner.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
