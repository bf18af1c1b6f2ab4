"""Rows as values: what the store takes and gives. JSON columns travel as text, so that no connection needs a codec."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import itemgetter
from typing import Any, Literal, NamedTuple
from uuid import UUID

import asyncpg
import orjson
import uuid_utils
from asyncpg.pgproto import pgproto

from jobrunner.errors import InvalidRequest
from jobrunner.job import Job, Status, Transition
from jobrunner.work import Artifact, Handle, Plan

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
StepState = Literal["intent", "running", "done", "failed"]


class NewJob(NamedTuple):
    """A submission, in the order in which `insert_jobs` unnests it. `params` and `metadata` are JSON.

    `digest` is the request's hash: a key that comes again must come with the same one. Whose key it is says
    `idempotency_scope`: a bound caller's user, or '' for all others.
    """

    id: UUID
    task: str
    module: str
    params: str
    queue: str
    retries: int
    user_id: str | None = None
    record_id: str | None = None
    metadata: str | None = None
    idempotency_scope: str = ""
    idempotency_key: str | None = None
    digest: str | None = None
    run_at: datetime | None = None
    delay_s: float = 0.0
    webhook: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A named piece of a job. `sequence` counts the purchases that were tried under this name."""

    job_id: UUID
    name: str
    fence: int
    state: StepState
    sequence: int = 1
    plan: Plan | None = None
    handle: Handle | None = None
    result: Any = None
    error: Mapping[str, Any] | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StepWrite:
    """A step's new state, and the artifacts that come into being with it."""

    step: Step
    artifacts: Sequence[Artifact] = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """An attempt's end: `transition` is written where (`id`, worker, `fence`, in_progress) still holds."""

    id: UUID
    fence: int
    transition: Transition


@dataclass(frozen=True, slots=True)
class ProgressNote:
    id: UUID
    fence: int
    fraction: float
    note: str


class Active(NamedTuple):
    """A job that has not ended. `due_ms`: when it is due, in Unix time; None where it runs."""

    id: UUID
    due_ms: float | None


@dataclass(frozen=True, slots=True)
class Looked:
    """What an id really is. `early`: pending, and not due yet; `read_at`: now by Postgres' clock, ours may be wrong."""

    id: UUID
    task: str
    status: Status
    due_at: datetime
    early: bool
    updated_at: datetime
    read_at: datetime
    suspicion: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs to list: those in one of the states `status` (none named: in any) that fit all else that is given.

    `created_after` is the first moment that counts, `created_before` the first that does not. `metadata`: what a job's
    own must contain (jsonb's @>). `text`: words, or parts of them, all of which are in its params, error or record_id,
    in whatever case; or the beginning of its id. `after` is the (created_at, id) of the last one seen.
    """

    status: Collection[Status] = ()
    task: str | None = None
    module: str | None = None
    user_id: str | None = None
    record_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    metadata: Mapping[str, Any] | None = None
    text: str | None = None
    limit: int = 50
    after: tuple[datetime, UUID] | None = None


_values_of = itemgetter(*Job._fields)
_JSON = [Job._fields.index(name) for name in ("params", "metadata", "result", "error", "errors")]
_STATUS, _MODULE, _RETRIES = map(Job._fields.index, ("status", "module", "retries"))
_STATUSES = {status.value: status for status in Status}
_OF_ARTIFACT = tuple(field.name for field in fields(Artifact))


def to_json(value: Any) -> str | None:
    """Raises InvalidRequest for what JSON cannot say: a lone surrogate, an integer beyond 64 bits, a foreign object."""
    try:
        return None if value is None else orjson.dumps(value, default=_id_text).decode()
    except TypeError as error:
        raise InvalidRequest(f"This is no JSON: {error}") from error


def error_json(record: Mapping[str, Any] | None) -> str | None:
    """An error record holds foreign words, an exception's or a provider's: they must not stop it from being kept."""
    if record is None:
        return None
    return to_json({key: storable(value) if isinstance(value, str) else value for key, value in record.items()})


def storable(text: str) -> str:
    """`text` without what Postgres keeps in no text: NUL and lone surrogates."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def job_of(row: asyncpg.Record) -> Job:
    values = [*_values_of(row)]
    for index in _JSON:
        if values[index] is not None:
            values[index] = orjson.loads(values[index])
    values[_STATUS] = _STATUSES[values[_STATUS]]
    values[_MODULE] = values[_MODULE] or ""
    values[_RETRIES] = values[_RETRIES] or 0
    return Job._make(values)


def new_id() -> UUID:
    """A uuid7 as rows have them: asyncpg's own class is compared and written in C."""
    return pgproto.UUID(uuid_utils.uuid7().bytes)


def known_id(text: str) -> UUID:
    """An id as rows have them. Raises ValueError."""
    return pgproto.UUID(text)


def jobs_made(submitted: Sequence[NewJob], rows: Sequence[asyncpg.Record]) -> list[Job]:
    """Those that `insert_jobs` answered with `rows`, which hold what Postgres chose; all else is as it was sent."""
    chosen = {row["id"]: row for row in rows}
    return [_job_made(new, row) for new in submitted if (row := chosen.get(new.id)) is not None]


def _job_made(new: NewJob, row: asyncpg.Record) -> Job:
    return Job(
        id=new.id,
        task=new.task,
        module=new.module,
        status=Status.PENDING,
        params=orjson.loads(new.params),
        queue=new.queue,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        due_at=row["due_at"],
        retries=new.retries,
        fence=0,
        failures=0,
        crashes=0,
        user_id=new.user_id,
        record_id=new.record_id,
        idempotency_key=new.idempotency_key,
        metadata=None if new.metadata is None else orjson.loads(new.metadata),
        errors=[],
        webhook=new.webhook,
    )


def step_of(row: asyncpg.Record) -> Step:
    plan, handle, result, error = (
        None if row[name] is None else orjson.loads(row[name]) for name in ("plan", "handle", "result", "error")
    )
    return Step(
        job_id=row["job_id"],
        name=row["name"],
        fence=row["fence"],
        state=row["state"],
        sequence=row["sequence"],
        plan=None if plan is None else Plan.from_json(plan),
        handle=None if handle is None else Handle.from_json(handle),
        result=result,
        error=error,
        created_at=row["created_at"],
    )


def artifact_of(row: asyncpg.Record) -> Artifact:
    return Artifact(**{name: row[name] for name in _OF_ARTIFACT})


def _id_text(value: object) -> str:
    """Ids of asyncpg's are a subclass of UUID, which orjson does not write. Raises TypeError for what is no id."""
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON serializable")


def filter_values(wanted: Filter) -> tuple[Any, ...]:
    """The parameters of `list_jobs`. Raises InvalidRequest for metadata, or text, that is no JSON."""
    return (
        *(list(wanted.status), wanted.task, wanted.module, wanted.user_id, wanted.record_id),
        *(wanted.created_after, wanted.created_before, to_json(wanted.metadata)),
        *(wanted.after or (None, None)),
        wanted.limit,
        *_patterns(wanted.text or ""),
    )


def _patterns(text: str) -> tuple[list[str] | None, str | None]:
    """What LIKE finds each word by in JSON, and an id by its beginning; None for text that holds no word."""
    words = [f"%{_literally(str(to_json(word))[1:-1])}%" for word in text.split()]
    return (words, f"{_literally(text.strip())}%") if words else (None, None)


def _literally(text: str) -> str:
    """`text` as LIKE finds it: what stands for something else there stands for itself."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def finish_columns(ends: Sequence[Finish]) -> list[list[Any]]:
    """The arrays that `finish` unnests."""
    return columns(
        (end.id, end.fence, end.transition.status, end.transition.failures, to_json(end.transition.result))
        + (end.transition.result_url, error_json(end.transition.error), end.transition.delay_s)
        for end in ends
    )


def step_columns(steps: Sequence[Step]) -> list[list[Any]]:
    """The arrays that `save_steps` unnests."""
    return columns(
        (
            step.job_id,
            step.name,
            step.fence,
            step.state,
            step.sequence,
            step.plan.provider if step.plan else None,
            to_json(step.plan),
            step.handle.id if step.handle else None,
            to_json(step.handle),
            to_json(step.result),
            error_json(step.error),
        )
        for step in steps
    )


def columns(rows: Any) -> list[list[Any]]:
    """Rows turned into one list a column, as unnest wants them; it makes up NULLs where a list is shorter.

    So one that would hold nothing else stays empty: asyncpg looks at each element twice.
    """
    return [_without_nothing(column) for column in zip(*rows, strict=True)]


def _without_nothing(column: tuple[Any, ...]) -> list[Any]:
    return [] if column[0] is None and column.count(None) == len(column) else list(column)
