"""jobrunner: an async-native job runner for slow, paid media-generation APIs.

Importing this reads no settings and connects to nothing; names load when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobrunner.declare import SubmitOptions, TaskContext, task
    from jobrunner.errors import (
        JobFailed,
        JobrunnerError,
        PermanentError,
        RateLimited,
        Retry,
        SoftTimeout,
        TransientError,
    )
    from jobrunner.job import Backoff, Job
    from jobrunner.request import ImageRequest
    from jobrunner.runtime import JobRunner
    from jobrunner.work import Artifact, Generated

_HOMES = {
    "declare": ("SubmitOptions", "TaskContext", "task"),
    "errors": (
        "JobFailed",
        "JobrunnerError",
        "PermanentError",
        "RateLimited",
        "Retry",
        "SoftTimeout",
        "TransientError",
    ),
    "job": ("Backoff", "Job"),
    "runtime": ("JobRunner",),
    "request": ("ImageRequest",),
    "work": ("Artifact", "Generated"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Artifact",
    "Backoff",
    "Generated",
    "ImageRequest",
    "Job",
    "JobFailed",
    "JobRunner",
    "JobrunnerError",
    "PermanentError",
    "RateLimited",
    "Retry",
    "SoftTimeout",
    "SubmitOptions",
    "TaskContext",
    "TransientError",
    "task",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'jobrunner' has no attribute {name!r}")
    return getattr(importlib.import_module(f"jobrunner.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
