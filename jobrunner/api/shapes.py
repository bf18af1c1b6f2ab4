"""What travels over HTTP: requests as models, jobs and all that belongs to them as JSON."""

import base64
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar
from uuid import UUID

import orjson
from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PydanticInvalidForJsonSchema, ValidationError

from jobrunner.declare import SubmitOptions, TaskSpec
from jobrunner.errors import InvalidRequest
from jobrunner.job import Job, Status
from jobrunner.store.deliveries import Disabled
from jobrunner.store.rows import Filter, Step

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


class Listing(BaseModel):
    """The query of GET /v1/jobs. `cursor` is the `next_cursor` of the page before."""

    model_config = ConfigDict(extra="forbid")

    status: Status | None = None
    task: Word | None = None
    module: Word | None = None
    user_id: Word | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Word | None = None

    def filter(self) -> Filter:
        """One row more than the page holds, to see whether another follows. Raises InvalidRequest."""
        return Filter(
            status=self.status,
            task=self.task,
            module=self.module,
            user_id=self.user_id,
            limit=self.limit + 1,
            after=None if self.cursor is None else read_cursor(self.cursor),
        )


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
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise InvalidRequest(f"{found[0]['path']}: {found[0]['message']}{more}", found) from None


def cursor_after(job: Job) -> str:
    """Opaque to clients: where the page that ended with `job` goes on."""
    micros = (job.created_at - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(_CURSOR.pack(micros, job.id.bytes)).decode()


def read_cursor(cursor: str) -> tuple[datetime, UUID]:
    """Raises InvalidRequest."""
    try:
        micros, raw_id = _CURSOR.unpack(base64.b64decode(cursor, altchars=b"-_", validate=True))
        return _EPOCH + micros * _MICROSECOND, UUID(bytes=raw_id)
    except (ValueError, struct.error, OverflowError):
        message = "is no cursor of ours; send `next_cursor` of the page before, or leave it out"
        raise InvalidRequest(
            f"cursor: {message}", [{"path": "cursor", "message": message, "type": "cursor_invalid"}]
        ) from None


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


def step_json(step: Step) -> dict[str, Any]:
    """Without the handle's URLs: some carry a signature that lets anybody in.

    `cost` is what the provider says a purchase cost, `{amount, unit}`; null while, or where, it says nothing.
    """
    return {
        "name": step.name,
        "state": step.state,
        "provider": step.plan.provider if step.plan else None,
        "model": step.plan.model if step.plan else None,
        "remote_id": step.handle.id if step.handle else None,
        "attempt": step.fence,
        "cost": step.result["cost"] if step.plan and step.state == "done" else None,
        "error": step.error,
        "created_at": step.created_at,
    }


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


def task_json(spec: TaskSpec[Any, Any]) -> dict[str, Any]:
    return {
        "name": spec.name,
        "module": spec.module,
        "summary": spec.summary,
        "timeout_s": spec.timeout.total_seconds(),
        "soft_timeout_s": spec.soft_timeout.total_seconds(),
        "retries": spec.retries,
        "params": _schema(spec.params, "validation"),
        "result": _schema(spec.result, "serialization"),
    }


def _schema(model: type[BaseModel], mode: Any) -> dict[str, Any]:
    """One model that has no JSON Schema must not hide all tasks: it is shown as the schema that takes anything."""
    try:
        return model.model_json_schema(mode=mode)
    except PydanticInvalidForJsonSchema:
        return {}
