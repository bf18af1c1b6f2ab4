"""The verbs: submit, cancel, retry, get, search, wait. API, command line and `.delay` all speak through here."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel
from uuid_utils.compat import uuid7

from jobrunner.batch import Batcher
from jobrunner.broker.connection import end_tasks
from jobrunner.broker.queue import Queue
from jobrunner.broker.stream import CANCEL, ENDED, Notices
from jobrunner.broker.telling import Telling
from jobrunner.declare import SubmitOptions, TaskSpec
from jobrunner.errors import (
    Conflict,
    IdempotencyMismatch,
    InvalidParams,
    InvalidRequest,
    JobFailed,
    NotFound,
    Unavailable,
    UnknownTask,
)
from jobrunner.events import emit
from jobrunner.failpoints import hit
from jobrunner.job import Job, Status
from jobrunner.store.deliveries import Disabled
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Filter, NewJob, Step
from jobrunner.work import Artifact

_WATCH_S = 1.0
"""Whoever waits for a job asks Postgres this often, should Redis' notice not come."""

_CANCEL_RECORD = {"code": "cancelled", "message": "Cancelled on request before it ran.", "retryable": False}


@dataclass(slots=True)
class Client:
    """Opened by `Client.opened`; all methods raise Unavailable where Postgres is away."""

    store: Store
    queue: Queue
    notices: Notices
    tasks: Mapping[str, TaskSpec[Any, Any]]
    check_webhook: Callable[[str], None]
    _submits: Batcher[NewJob, tuple[Job, str | None]] = field(init=False)
    telling: Telling = field(init=False)
    _awaited: dict[UUID, set[asyncio.Future[Job]]] = field(init=False, default_factory=dict)
    _look: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _watcher: asyncio.Task[None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._submits = Batcher(self._write)
        self.telling = Telling(self.queue)
        self.store.deliveries.listen(self.telling.push)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        store: Store,
        queue: Queue,
        notices: Notices,
        tasks: Mapping[str, TaskSpec[Any, Any]],
        check_webhook: Callable[[str], None],
    ) -> AsyncIterator["Client"]:
        client = cls(store, queue, notices, tasks, check_webhook)
        try:
            yield client
        finally:
            await client._submits.drain()
            await client.telling.drain()
            if client._watcher is not None:
                await end_tasks(client._watcher)

    # ---- submitting ----------------------------------------------------------------------------

    def task(self, name: str) -> TaskSpec[Any, Any]:
        """Raises UnknownTask."""
        spec = self.tasks.get(name)
        if spec is None:
            raise UnknownTask(f"There is no task called {name!r}; declared are {', '.join(sorted(self.tasks))}.")
        return spec

    async def submit(self, spec: TaskSpec[Any, Any], params: BaseModel, options: SubmitOptions) -> Job:
        """The job's row. Once this returns the job is kept, also if Redis could not be told of it.

        Raises InvalidParams, UrlNotAllowed (`webhook`), IdempotencyMismatch, Unavailable (kept or not, nobody
        knows: an idempotency key makes it safe to come again).
        """
        if options.webhook is not None:
            self.check_webhook(options.webhook)
        try:
            new = self._new_job(spec, params, options)
        except orjson.JSONEncodeError as error:
            raise InvalidParams(f"{spec.name}: params and metadata must be plain JSON: {error}") from error
        try:
            job, digest = await self._submits.add(new)
        except InvalidRequest as error:
            raise InvalidParams(f"{spec.name}: {error}") from error
        if digest is not None and digest != new.digest:
            raise IdempotencyMismatch(
                f"The idempotency key {new.idempotency_key!r} was used for job {job.id} with another request. "
                "Send the same request again, or a new key."
            )
        return job

    def _new_job(self, spec: TaskSpec[Any, Any], params: BaseModel, options: SubmitOptions) -> NewJob:
        body = params.model_dump(mode="json")
        asked = [spec.name, body, options.record_id, options.retries, options.metadata, options.run_at]
        asked.append(options.webhook)
        delay_s = options.delay.total_seconds() if options.delay else 0.0
        return NewJob(
            id=uuid7(),
            task=spec.name,
            module=spec.module,
            params=orjson.dumps(body),
            queue=self.queue.name,
            retries=spec.retries if options.retries is None else options.retries,
            user_id=_text(getattr(params, "user_id", None)),
            record_id=options.record_id or _text(getattr(params, "record_id", None)),
            metadata=options.metadata,
            idempotency_key=options.idempotency_key,
            digest=hashlib.sha256(orjson.dumps([*asked, delay_s], option=orjson.OPT_SORT_KEYS)).hexdigest(),
            run_at=options.run_at,
            delay_s=delay_s,
            webhook=options.webhook,
        )

    async def _write(self, jobs: list[NewJob]) -> Sequence[tuple[Job, str | None] | BaseException]:
        """Commit first, then push: the row is the job, the push is a hint."""
        results = await self.store.insert(jobs)
        await hit("submit.committed")
        created = [result[0] for result in results if isinstance(result, tuple) and result[1] is None]
        self.telling.push(created)
        for job in created:
            emit("job.submitted", job_id=str(job.id), task=job.task, user_id=job.user_id)
        return results

    # ---- asking --------------------------------------------------------------------------------

    async def get(self, job_id: UUID) -> Job:
        """Raises NotFound."""
        job = await self.store.get(job_id)
        if job is None:
            raise NotFound(f"There is no job {job_id}.")
        return job

    async def search(self, wanted: Filter) -> list[Job]:
        return await self.store.search(wanted)

    async def steps(self, job_id: UUID) -> list[Step]:
        return await self.store.steps_of(job_id)

    async def artifacts(self, job_ids: Sequence[UUID]) -> list[Artifact]:
        return await self.store.artifacts_of(job_ids)

    async def artifact(self, artifact_id: UUID) -> Artifact:
        """Raises NotFound."""
        artifact = await self.store.artifact(artifact_id)
        if artifact is None:
            raise NotFound(f"There is no artifact {artifact_id}.")
        return artifact

    async def keep_upload(self, artifact: Artifact) -> None:
        """Write the row of a file that is in the artifact store already, and that no job made."""
        await self.store.insert_artifact(artifact)
        emit("artifact.uploaded", artifact_id=str(artifact.id), kind=artifact.kind, size_bytes=artifact.size_bytes)

    # ---- acting --------------------------------------------------------------------------------

    async def cancel(self, job_id: UUID) -> Job:
        """A pending job is cancelled at once; a running one is asked to end. Raises NotFound, Conflict."""
        job = await self.store.cancel(job_id, _CANCEL_RECORD)
        if job is None:
            now = await self.get(job_id)
            if not now.status.terminal:
                raise Conflict(
                    f"It is too late to cancel job {job_id}: its transaction is signed since {now.irrevocable_at} and "
                    "may be in the chain. The job goes on, and its result will say what came of it."
                )
            raise Conflict(f"Job {job_id} is {now.status} already; only pending and running jobs can be cancelled.")
        self.telling.soon(self._tell_cancelled(job))
        return job

    async def _tell_cancelled(self, job: Job) -> None:
        if job.status.terminal:
            await self.queue.finish([job])
        await self.notices.send(ENDED if job.status.terminal else CANCEL, [job.id])

    async def retry(self, job_id: UUID) -> Job:
        """A person's decision to run a failed or cancelled job again. Raises NotFound, Conflict."""
        job = await self.store.retry(job_id)
        if job is None:
            now = await self.get(job_id)
            raise Conflict(f"Job {job_id} is {now.status}; only failed and cancelled jobs can be retried.")
        self.telling.push_again([job])
        return job

    async def deliveries(self, job: Job) -> tuple[list[Job], list[Disabled]]:
        """What its webhooks were told of `job`, and those of them that nothing is sent to any more."""
        told = await self.store.deliveries.of(job.id)
        urls = {*self.store.deliveries.urls(job), *(each.params["url"] for each in told)}
        return told, await self.store.deliveries.disabled(urls)

    async def replay(self, job_id: UUID) -> list[Job]:
        """Tell its webhooks again how the job ended. Raises NotFound, Conflict."""
        job = await self.get(job_id)
        made = await self.store.deliveries.replay(job)
        if not made and not await self.store.deliveries.of(job_id):
            raise Conflict(
                f"Job {job_id} has told no webhook anything: it is {job.status}, and names "
                f"{', '.join(self.store.deliveries.urls(job)) or 'none'}."
            )
        self.telling.push_again(made)
        return made

    # ---- waiting -------------------------------------------------------------------------------

    async def wait(self, job_id: UUID, timeout_s: float | None = None) -> Job:
        """The job once it has ended. Raises NotFound, TimeoutError (the job goes on)."""
        job = await self.get(job_id)
        if job.status.terminal:
            return job
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch(), name="watch ended jobs")
        future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._awaited.setdefault(job_id, set()).add(future)
        self._look.set()
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        finally:
            self._awaited[job_id].discard(future)
            if not self._awaited[job_id]:
                del self._awaited[job_id]

    async def _watch(self) -> None:
        """One question for all who wait: when Redis says that something ended, and every second in any case."""
        async with self.notices.listening(ENDED, self._heard):
            while True:
                self._look.clear()
                try:
                    ended = await self.store.ended(list(self._awaited)) if self._awaited else []
                except Unavailable as error:
                    emit("wait.interrupted", logging.WARNING, error=str(error))
                    ended = []
                for job in ended:
                    for future in self._awaited.get(job.id, ()):
                        if not future.done():
                            future.set_result(job)
                try:
                    async with asyncio.timeout(_WATCH_S if self._awaited else None):
                        await self._look.wait()
                except TimeoutError:
                    pass

    def _heard(self, ids: list[UUID]) -> None:
        if any(each in self._awaited for each in ids):
            self._look.set()


def _text(value: Any) -> str | None:
    """A user's task may count its users, or name them by uuid."""
    return None if value is None else str(value)


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """What `.delay` answers."""

    id: UUID
    task: TaskSpec[Any, Any]
    client: Client
    status: str = "queued"

    async def result(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109  # the field's word
        """The task's result, as its model. `timeout` in seconds. Raises JobFailed, TimeoutError, Unavailable."""
        job = await self.client.wait(self.id, timeout)
        if job.status is not Status.COMPLETED:
            error = job.error or {}
            raise JobFailed(f"Job {job.id} {job.status}: {error.get('message', 'no reason was kept')}", error=error)
        return self.task.result.model_validate(job.result)

    async def refresh(self) -> Job:
        """The row as it stands now."""
        return await self.client.get(self.id)

    async def cancel(self) -> Job:
        return await self.client.cancel(self.id)
