"""A submission as the row that it becomes, and the hash by which a repeated one is known."""

import hashlib
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel
from uuid_utils.compat import uuid7

from jobrunner.declare import SubmitOptions, TaskSpec
from jobrunner.errors import IdempotencyMismatch, InvalidParams, InvalidRequest, RequestError
from jobrunner.job import Job
from jobrunner.store.postgres import Inserted
from jobrunner.store.rows import NewJob

Asked = tuple[TaskSpec[Any, Any], BaseModel, SubmitOptions]
"""One of many: what `Client.submit` takes."""


def new_job(
    spec: TaskSpec[Any, Any],
    params: BaseModel,
    options: SubmitOptions,
    *,
    queue: str,
    caller_user: str | None,
    id: UUID | None,
) -> NewJob:
    """`caller_user`: the user that the caller is bound to, if it is; the job is theirs, and so is its key.

    Raises InvalidParams for what is no plain JSON.
    """
    body = params.model_dump(mode="json")
    delay_s = options.delay.total_seconds() if options.delay else 0.0
    try:
        return NewJob(
            id=id or uuid7(),
            task=spec.name,
            module=spec.module,
            params=orjson.dumps(body),
            queue=queue,
            retries=spec.retries if options.retries is None else options.retries,
            user_id=caller_user or _text(body.get("user_id")),
            record_id=options.record_id or _text(body.get("record_id")),
            metadata=None if options.metadata is None else orjson.dumps(options.metadata),
            idempotency_scope=caller_user or "",
            idempotency_key=options.idempotency_key,
            digest=None if options.idempotency_key is None else _digest(spec.name, body, options, delay_s),
            run_at=options.run_at,
            delay_s=delay_s,
            webhook=options.webhook,
        )
    except orjson.JSONEncodeError as error:
        raise InvalidParams(f"{spec.name}: params and metadata must be plain JSON: {error}") from error


def _digest(task: str, params: Any, options: SubmitOptions, delay_s: float) -> str:
    asked = [task, params, options.record_id, options.retries, options.metadata, options.run_at, options.webhook]
    return hashlib.sha256(orjson.dumps([*asked, delay_s], option=orjson.OPT_SORT_KEYS)).hexdigest()


def _text(value: Any) -> str | None:
    """A user's task may count its users, or name them by uuid."""
    return None if value is None else str(value)


def kept(new: NewJob, inserted: Inserted) -> Job:
    """Raises IdempotencyMismatch."""
    job, digest = inserted
    if digest is not None and digest != new.digest:
        raise IdempotencyMismatch(
            f"The idempotency key {new.idempotency_key!r} was used for job {job.id} with another request. "
            "Send the same request again, or a new key."
        )
    return job


def answer(new: NewJob, result: Inserted | BaseException) -> Job | RequestError:
    """Raises what is no fault of the request's."""
    try:
        if isinstance(result, InvalidRequest):
            return InvalidParams(f"{new.task}: {result}")
        if isinstance(result, BaseException):
            raise result
        return kept(new, result)
    except RequestError as error:
        return error
