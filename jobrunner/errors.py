"""Every error jobrunner raises, in one tree; foreign errors are mapped to it at the edge.

JobrunnerError
├── ConfigError              settings or declarations are wrong; nothing starts
├── DeclarationError         a task was declared wrongly (raised at import)
├── NoRunner                 `.delay` was called while no JobRunner was open
├── RequestError             the caller's request cannot be carried out as asked
│   ├── InvalidRequest       the request's shape is wrong
│   │   └── InvalidParams    a task's params do not fit its model
│   ├── UnknownTask, IdempotencyMismatch, UrlNotAllowed
│   ├── NotFound             there is no such thing, or none that the caller may see
│   │   └── PreviewNotFound  the job shows no picture of its work now
│   ├── Conflict             the state of things does not allow it
│   │   └── SignedUrlsOff    no secret to sign URLs with
│   ├── Unauthorized         no API key, or a wrong one
│   ├── Forbidden            the caller may not do this
│   │   ├── ScopeMissing     its key lacks the scope
│   │   ├── TokenMissing     it acts by a cookie, and does not show that session's token
│   │   └── SignatureInvalid, UrlExpired   of a signed URL
│   └── LimitReached         the caller has had what it may have for now
│       └── TooManyRequests, TooManyJobs
├── Unavailable              Postgres, Redis, a worker or the API is away; try again
├── ApiError                 the API answered what no other class stands for
└── AttemptError             how an attempt of a job ended, if not well
    ├── PermanentError       trying again would give the same answer
    ├── TransientError       trying again may help; counts as one failure
    │   ├── RateLimited      the provider said "later"; counts as no failure
    │   └── SubmitUnknown    sent, but the answer was lost: it may run, and be billed
    ├── PutOff               not tried now, and not counted: it waits for its turn
    ├── JobFailed            what `job.result()` raises for a job that ended badly
    └── Retry                raised by a task to ask for another attempt

SoftTimeout stands apart: it is an `asyncio.CancelledError`, so that TaskGroup, wait_for, gather and
timeout() wind down their children when it passes through them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from jobrunner.redaction import redacted


class JobrunnerError(Exception):
    """Base of all. `code` is stable and machine-readable; `str(error)` says what happened and what to do."""

    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def record(self) -> dict[str, Any]:
        """The error as it is kept on a job's row."""
        return {"code": self.code, "message": redacted(str(self)), "retryable": self.retryable}


class ConfigError(JobrunnerError):
    code = "config_invalid"


class DeclarationError(JobrunnerError, TypeError):
    code = "declaration_invalid"


class NoRunner(JobrunnerError, RuntimeError):
    code = "no_runner"


class RequestError(JobrunnerError):
    code = "request_invalid"
    http_status = 400


class InvalidRequest(RequestError):
    """`errors` lists what is wrong: `[{"path": "params.size", "message": "...", "type": "..."}]`."""

    code = "invalid_request"
    http_status = 422

    def __init__(self, message: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        self.errors = [dict(error) for error in errors]


class InvalidParams(InvalidRequest):
    code = "invalid_params"


class UnknownTask(RequestError):
    code = "unknown_task"
    http_status = 404


class NotFound(RequestError):
    code = "not_found"
    http_status = 404


class PreviewNotFound(NotFound):
    code = "preview_not_found"


class Conflict(RequestError):
    """The job's state does not allow the verb, e.g. cancelling a completed job."""

    code = "conflict"
    http_status = 409


class SignedUrlsOff(Conflict):
    code = "signed_urls_off"


class Unauthorized(RequestError):
    code = "unauthorized"
    http_status = 401


class Forbidden(RequestError):
    code = "forbidden"
    http_status = 403


class ScopeMissing(Forbidden):
    code = "scope_missing"


class TokenMissing(Forbidden):
    code = "token_missing"


class SignatureInvalid(Forbidden):
    code = "signature_invalid"


class UrlExpired(Forbidden):
    code = "url_expired"


class LimitReached(RequestError):
    """`retry_after_s`: seconds after which there may be more."""

    code = "limit_reached"
    http_status = 429
    retryable = True

    def __init__(self, message: str, *, retry_after_s: float = 2.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyRequests(LimitReached):
    code = "too_many_requests"


class TooManyJobs(LimitReached):
    """The caller has as many jobs that have not ended as it may have at once."""

    code = "too_many_jobs"


class IdempotencyMismatch(RequestError):
    code = "idempotency_key_reused"
    http_status = 422


class UrlNotAllowed(InvalidRequest):
    code = "url_not_allowed"


class Unavailable(JobrunnerError):
    """A server we depend on is away. `retry_after_s`: seconds after which to ask again."""

    code = "unavailable"
    http_status = 503
    retryable = True

    def __init__(self, message: str, *, retry_after_s: float = 2.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ApiError(JobrunnerError):
    """What a client of the API could not make sense of, or knows no class for. `code`, `http_status`: the answer's."""

    code = "api_error"
    http_status = 502

    def __init__(self, message: str, *, code: str, http_status: int = 502, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]  # narrows the class's default for this instance
        self.http_status = http_status  # type: ignore[misc]
        self.retryable = retryable  # type: ignore[misc]


class AttemptError(JobrunnerError):
    """`code` may be narrowed per instance; `provider`, `request_id`, `provider_code` name the source."""

    code = "attempt_failed"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        provider: str | None = None,
        request_id: str | None = None,
        provider_code: str | None = None,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code  # type: ignore[misc]  # narrows the class's default for this instance
        self.provider = provider
        self.request_id = request_id
        self.provider_code = provider_code

    def record(self) -> dict[str, Any]:
        """As it is kept on the row, with the provider's own words."""
        source = {
            "provider": self.provider,
            "request_id": self.request_id,
            "provider_code": self.provider_code,
        }
        return {**super().record(), **{key: value for key, value in source.items() if value is not None}}


class PermanentError(AttemptError):
    code = "permanent"


class TransientError(AttemptError):
    code = "transient"
    retryable = True


class RateLimited(TransientError):
    """`retry_after_s` is the provider's own wish, if it named one."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: float | None = None, **source: Any) -> None:
        super().__init__(message, **source)
        self.retry_after_s = retry_after_s


class SubmitUnknown(TransientError):
    """The create request left us and no answer came back. Never send it again blindly: a person decides."""

    code = "submit_outcome_unknown"
    retryable = False


class PutOff(AttemptError):
    """Not the time to try: the attempt ends without a trace, and the next one comes after `delay_s`."""

    code = "put_off"
    retryable = True

    def __init__(self, message: str, *, delay_s: float) -> None:
        super().__init__(message)
        self.delay_s = delay_s


class JobFailed(AttemptError):
    """`error` is the row's error record."""

    code = "job_failed"

    def __init__(self, message: str, *, error: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, code=str((error or {}).get("code", "job_failed")))
        self.error = dict(error or {})


class Retry(AttemptError):
    """Raise it inside a task to run again: `raise Retry(after=timedelta(seconds=30))`; counts one failure."""

    code = "retry"
    retryable = True

    def __init__(self, message: str = "the task asked to run again", *, after: timedelta | float = 0) -> None:
        super().__init__(message)
        self.after_s = after.total_seconds() if isinstance(after, timedelta) else float(after)


class SoftTimeout(asyncio.CancelledError):
    """Raised inside a task at its soft timeout: save what you have and return or re-raise.

    Around a TaskGroup catch it with `except* SoftTimeout`: before Python 3.13 the group wraps what ends its body
    (python/cpython#113848).
    """
