"""What travels over HTTP: requests as models, jobs and all that belongs to them as JSON."""

import base64
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

import orjson
from aiohttp import web
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    ValidationError,
    model_validator,
)

from jobrunner.api.intake import check_storable
from jobrunner.declare import SubmitOptions
from jobrunner.errors import InvalidRequest
from jobrunner.job import Job, Status
from jobrunner.store.deliveries import Disabled
from jobrunner.store.rows import Filter

M = TypeVar("M", bound=BaseModel)
Word = Annotated[str, Field(min_length=1, max_length=255)]

_YEAR_S = 366 * 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CURSOR = struct.Struct(">q16s")


class Submission(BaseModel):
    """The body of POST /v1/jobs. `run_at` is RFC 3339 with its offset; `delay_s` counts from now.

    `webhook` is the URL that is told how the job ended.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    task: Word
    params: dict[str, Any]
    delay_s: Annotated[float, Field(ge=0, le=_YEAR_S)] | None = None
    run_at: Annotated[AwareDatetime, Field(strict=False)] | None = None
    idempotency_key: Word | None = None
    record_id: Word | None = None
    retries: Annotated[int, Field(ge=0, le=100)] | None = None
    metadata: dict[str, Any] | None = None
    webhook: Annotated[str, Field(max_length=2000)] | None = None

    def options(self) -> SubmitOptions:
        """Raises InvalidParams if both `delay_s` and `run_at` are given."""
        return SubmitOptions(
            delay=None if self.delay_s is None else timedelta(seconds=self.delay_s),
            run_at=self.run_at,
            idempotency_key=self.idempotency_key,
            record_id=self.record_id,
            retries=self.retries,
            metadata=self.metadata,
            webhook=self.webhook,
        )


def split_words(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


def _parsed(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    if isinstance(value, dict):
        check_storable(value, "metadata.")
    return value


class Selection(BaseModel):
    """Which jobs: those that fit all that is given.

    `status` names one state or several (in a query: `status=failed,cancelled`). `created_after` and `created_before`
    are RFC 3339 with their offset; the first moment belongs to what is asked for, the second does not. `metadata` is a
    JSON object that the job's own metadata must contain. `text` are words, or parts of them, that are all in the job's
    params, error or record_id, in whatever case; or the beginning of its id. `cursor` is the `next_cursor` of the page
    before.
    """

    model_config = ConfigDict(extra="forbid")

    status: Annotated[tuple[Status, ...], BeforeValidator(split_words)] = ()
    task: Word | None = None
    module: Word | None = None
    user_id: Word | None = None
    record_id: Word | None = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None
    metadata: Annotated[dict[str, Any], BeforeValidator(_parsed)] | None = None
    text: Annotated[Word, Field(pattern=r"\S")] | None = None
    cursor: Word | None = None

    def filter(self, limit: int) -> Filter:
        """Raises InvalidRequest for a cursor that is none."""
        return Filter(
            **self.model_dump(include=_FILTERS),
            limit=limit,
            after=None if self.cursor is None else read_cursor(self.cursor),
        )


_FILTERS = set(Selection.model_fields) - {"cursor"}


class Listing(Selection):
    """The query of GET /v1/jobs."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50


class Matching(Selection):
    """The body of POST /v1/jobs:cancel and POST /v1/jobs:retry. `limit`: how many jobs one call may touch."""

    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if not any(getattr(self, name) for name in _FILTERS):
            message = 'name at least one filter; for all jobs name their states: {"status": ["pending"]}'
            raise InvalidRequest(
                f"This does not say which jobs: {message}.",
                [{"path": "", "message": message, "type": "filter_missing"}],
            )
        return self


class Batch(BaseModel):
    """The body of POST /v1/jobs:batch: submissions, each of which is judged for itself."""

    model_config = ConfigDict(extra="forbid")

    jobs: Annotated[list[SkipValidation[Submission]], Field(min_length=1, max_length=10_000)]


class Upload(BaseModel):
    """The query of POST /v1/artifacts. `user_id`: whose jobs may name the file; without it, everyone's."""

    model_config = ConfigDict(extra="forbid")

    user_id: Word | None = None


def validated(model: type[M], values: Mapping[str, Any]) -> M:
    """Raises InvalidRequest with each field's path."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = [
            {"path": ".".join(map(str, each["loc"])), "message": each["msg"], "type": each["type"]}
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        first = ": ".join(filter(None, (found[0]["path"], found[0]["message"])))
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise InvalidRequest(f"{first}{more}", found) from None


def write_cursor(created_at: datetime, id: UUID) -> str:
    """Opaque to clients: where the page that ended with this job goes on."""
    micros = (created_at - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(_CURSOR.pack(micros, id.bytes)).decode()


def read_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Raises InvalidRequest."""
    try:
        micros, raw_id = _CURSOR.unpack(base64.b64decode(cursor, altchars=b"-_", validate=True))
        return _EPOCH + micros * _MICROSECOND, UUID(bytes=raw_id)
    except (ValueError, struct.error, OverflowError):
        raise no_cursor() from None


def no_cursor() -> InvalidRequest:
    message = "is no cursor of ours; send `next_cursor` of the page before, or leave it out"
    return InvalidRequest(f"cursor: {message}", [{"path": "cursor", "message": message, "type": "cursor_invalid"}])


def answer(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON; times become RFC 3339 in UTC with a Z."""
    body = orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z)  # str: asyncpg's UUID is a subclass
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


def job_url(job_id: UUID) -> str:
    return f"/v1/jobs/{job_id}"


def accepted_json(job: Job) -> dict[str, Any]:
    """The short answer to a submission."""
    url = job_url(job.id)
    urls = {"self": url, "cancel": f"{url}/cancel", "retry": f"{url}/retry"}
    return {"id": job.id, "task_id": job.id, "status": "queued", "urls": urls}


def webhooks_json(deliveries: Sequence[Job], disabled: Sequence[Disabled]) -> dict[str, Any]:
    """What webhooks were told of a job; to those that are `disabled` nothing is sent before a replay."""
    return {
        "data": [_delivery_json(each) for each in deliveries],
        "disabled": [{"url": each.url, "reason": each.reason, "disabled_at": each.disabled_at} for each in disabled],
    }


def _delivery_json(delivery: Job) -> dict[str, Any]:
    sent = delivery.status is Status.COMPLETED
    return {
        "id": delivery.id,
        "message_id": delivery.params["message_id"],
        "type": delivery.params["body"]["type"],
        "url": delivery.params["url"],
        "status": delivery.status,
        "attempts": delivery.failures + sent,
        "last_answer": last_answer(delivery),
        "due_at": delivery.due_at if delivery.status is Status.PENDING else None,
        "created_at": delivery.created_at,
        "completed_at": delivery.completed_at,
    }


def last_answer(delivery: Job) -> str | None:
    """What its receiver said last, in words."""
    if delivery.status is Status.COMPLETED:
        return f"HTTP {delivery.result['status']}"
    return str(delivery.errors[-1]["message"]) if delivery.errors else None
