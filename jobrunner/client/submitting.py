"""Submitting: submissions become rows, many in one statement; a hash tells whether a repeated one is the same."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel

from jobrunner.batch import Batcher
from jobrunner.broker.telling import Telling
from jobrunner.declare import SubmitOptions, TaskSpec
from jobrunner.errors import Forbidden, IdempotencyMismatch, InvalidParams, InvalidRequest, RequestError
from jobrunner.events import about, emit, heard
from jobrunner.failpoints import hit
from jobrunner.job import Job
from jobrunner.store.postgres import Inserted, Store
from jobrunner.store.rows import NewJob, new_id
from jobrunner.tasks.params import check_urls

_PAGE = 1000

Asked = tuple[TaskSpec[Any, Any], BaseModel, SubmitOptions]
"""One of many: what `Submits.one` takes."""


class Submits:
    def __init__(
        self,
        store: Store,
        telling: Telling,
        check_webhook: Callable[[str], None],
        check_url: Callable[[str], None],
        *,
        queue: str,
    ) -> None:
        self._store = store
        self._telling = telling
        self._check_webhook = check_webhook
        self._check_url = check_url
        self._queue = queue
        self._batches: Batcher[tuple[NewJob, Mapping[str, Any]], Inserted] = Batcher(self._write)
        self._pages = asyncio.Semaphore(2)  # while Postgres writes one, the next is made

    @property
    def waiting(self) -> int:
        """How many submissions Postgres has not been sent yet."""
        return self._batches.waiting

    async def drain(self) -> None:
        """Wait until all that was submitted is kept, or refused."""
        await self._batches.drain()

    async def one(
        self,
        spec: TaskSpec[Any, Any],
        params: BaseModel,
        options: SubmitOptions,
        *,
        caller_user: str | None = None,
        id: UUID | None = None,
    ) -> Job:
        """The job's row. Once this returns the job is kept, also if Redis could not be told of it.

        `caller_user`: the user that the caller is bound to. The job is theirs, and an idempotency key means their job
        alone: equal keys of two users are two jobs. `id`: a uuid7 for the row, should the caller have made one.
        Raises InvalidParams, UrlNotAllowed (`webhook`, files in `params`), Forbidden, IdempotencyMismatch, and
        Unavailable (kept or not, nobody knows: an idempotency key makes it safe to come again).
        """
        new = self._new(spec, params, options, caller_user=caller_user, id=id)
        try:
            return _kept(new, await self._batches.add((new, about.get())))
        except InvalidRequest as error:
            raise InvalidParams(f"{spec.name}: {error}") from error

    async def many(self, asked: Sequence[Asked]) -> list[Job | RequestError]:
        """As `one`, a thousand in a statement, each judged for itself: in its place stands its row or what is wrong.

        Raises Unavailable: some were kept or not, nobody knows.
        """
        pages = [asked[first : first + _PAGE] for first in range(0, len(asked), _PAGE)]
        return [each for page in await asyncio.gather(*map(self._page, pages)) for each in page]

    async def _page(self, page: Sequence[Asked]) -> list[Job | RequestError]:
        async with self._pages:
            judged = [self._judged(*each) for each in page]
            by = about.get()
            results = iter(await self._write([(each, by) for each in judged if isinstance(each, NewJob)]))
            return [_answer(each, next(results)) if isinstance(each, NewJob) else each for each in judged]

    def _judged(self, spec: TaskSpec[Any, Any], params: BaseModel, options: SubmitOptions) -> NewJob | RequestError:
        try:
            return self._new(spec, params, options)
        except RequestError as error:
            return error

    def _new(
        self,
        spec: TaskSpec[Any, Any],
        params: BaseModel,
        options: SubmitOptions,
        *,
        caller_user: str | None = None,
        id: UUID | None = None,
    ) -> NewJob:
        """Raises what `one` does before it asks Postgres."""
        if options.webhook is not None:
            self._check_webhook(options.webhook)
        check_urls(params, self._check_url)
        new = new_job(spec, params, options, queue=self._queue, caller_user=caller_user, id=id)
        if caller_user is not None and new.record_id is not None and self._store.mirrors(spec.module):
            raise Forbidden(
                f"record_id: a job of {spec.name} writes to that row of the application's own table, and nobody knows "
                f"whether it is {caller_user!r}'s. Leave record_id out, or use a key that is bound to no user."
            )
        return new

    async def _write(self, batch: list[tuple[NewJob, Mapping[str, Any]]]) -> Sequence[Inserted | BaseException]:
        """Commit first, then push: the row is the job, the push is a hint. Each comes with who submits it."""
        results = await self._store.insert([new for new, _ in batch])
        await hit("submit.committed")
        made = zip(results, batch, strict=True)
        created = [(result[0], by) for result, (_, by) in made if isinstance(result, tuple) and result[1] is None]
        self._telling.push([job for job, _ in created])
        emit("jobs.submitted", logging.DEBUG, jobs=len(created))
        for job, by in created if heard(logging.INFO) else ():
            by_whom = {"by": by} if by else {}
            emit("job.submitted", job_id=str(job.id), task=job.task, user_id=job.user_id, **by_whom)
        return results


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
            id=id or new_id(),
            task=spec.name,
            module=spec.module,
            params=orjson.dumps(body).decode(),
            queue=queue,
            retries=spec.retries if options.retries is None else options.retries,
            user_id=caller_user or _text(body.get("user_id")),
            record_id=options.record_id or _text(body.get("record_id")),
            metadata=None if options.metadata is None else orjson.dumps(options.metadata).decode(),
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


def _kept(new: NewJob, inserted: Inserted) -> Job:
    """Raises IdempotencyMismatch."""
    job, digest = inserted
    if digest is not None and digest != new.digest:
        raise IdempotencyMismatch(
            f"The idempotency key {new.idempotency_key!r} was used for job {job.id} with another request. "
            "Send the same request again, or a new key."
        )
    return job


def _answer(new: NewJob, result: Inserted | BaseException) -> Job | RequestError:
    """Raises what is no fault of the request's."""
    try:
        if isinstance(result, InvalidRequest):
            return InvalidParams(f"{new.task}: {result}")
        if isinstance(result, BaseException):
            raise result
        return _kept(new, result)
    except RequestError as error:
        return error
