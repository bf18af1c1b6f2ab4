"""The verbs: submit, cancel, retry, get, search, wait. API, command line and `.delay` all speak through here."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from jobrunner.broker.changes import moved
from jobrunner.broker.queue import Queue
from jobrunner.broker.stream import CANCEL, ENDED, Notices
from jobrunner.broker.telling import Telling
from jobrunner.client.matching import Changes, in_states, page_by_page
from jobrunner.client.submitting import Asked, Submits
from jobrunner.client.waiting import Waiting
from jobrunner.client.why import why
from jobrunner.declare import SubmitOptions, TaskSpec
from jobrunner.errors import (
    Conflict,
    NotFound,
    RequestError,
    UnknownTask,
)
from jobrunner.events import emit
from jobrunner.job import Job, Status
from jobrunner.store.deliveries import Disabled
from jobrunner.store.logs import Line, Place
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Filter, Step
from jobrunner.work import Artifact

_CANCEL_RECORD = {"code": "cancelled", "message": "Cancelled on request before it ran.", "retryable": False}


@dataclass(slots=True)
class Client:
    """Opened by `Client.opened`; all methods raise Unavailable where Postgres is away."""

    store: Store
    queue: Queue
    notices: Notices
    tasks: Mapping[str, TaskSpec[Any, Any]]
    check_webhook: Callable[[str], None]
    check_url: Callable[[str], None]
    _submits: Submits = field(init=False)
    telling: Telling = field(init=False)
    _waiting: Waiting = field(init=False)

    def __post_init__(self) -> None:
        self.telling = Telling(self.queue, self.notices.changes)
        checks = self.check_webhook, self.check_url
        self._submits = Submits(self.store, self.telling, *checks, queue=self.queue.name)
        self._waiting = Waiting(self.store, self.notices)
        self.store.deliveries.listen(self.telling.push)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        store: Store,
        queue: Queue,
        notices: Notices,
        tasks: Mapping[str, TaskSpec[Any, Any]],
        *,
        check_webhook: Callable[[str], None],
        check_url: Callable[[str], None],
    ) -> AsyncIterator["Client"]:
        client = cls(store, queue, notices, tasks, check_webhook, check_url)
        try:
            yield client
        finally:
            await client._submits.drain()
            await client.telling.drain()
            await client._waiting.aclose()

    # ---- submitting ----------------------------------------------------------------------------

    def task(self, name: str) -> TaskSpec[Any, Any]:
        """Raises UnknownTask."""
        spec = self.tasks.get(name)
        if spec is None:
            raise UnknownTask(f"There is no task called {name!r}; declared are {', '.join(sorted(self.tasks))}.")
        return spec

    async def submit(
        self,
        spec: TaskSpec[Any, Any],
        params: BaseModel,
        options: SubmitOptions,
        *,
        caller_user: str | None = None,
        id: UUID | None = None,
    ) -> Job:
        """See `Submits.one`."""
        return await self._submits.one(spec, params, options, caller_user=caller_user, id=id)

    @property
    def waiting_submits(self) -> int:
        """See `Submits.waiting`."""
        return self._submits.waiting

    async def submit_many(self, asked: Sequence[Asked]) -> list[Job | RequestError]:
        """See `Submits.many`."""
        return await self._submits.many(asked)

    async def knows_key(self, key: str | None, *, caller_user: str | None) -> bool:
        """Whether an idempotency key stands for a job already. Raises Unavailable."""
        return key is not None and await self.store.with_key(caller_user or "", key) is not None

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

    async def why(self, job: Job) -> str | None:
        """Why the job is not running, in words; None where it runs or has ended."""
        return None if job.status.terminal else why(job, await self.store.crew.circumstances(job))

    async def log_page(self, job_id: UUID, after: Place, limit: int) -> list[Line]:
        """What the job's task logged after that line, the oldest first."""
        return await self.store.logs.page(job_id, after, limit)

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
        self.telling.soon(self._tell_cancelled([job]))
        return job

    async def cancel_matching(self, wanted: Filter) -> Changes:
        """Cancel what fits, `wanted.limit` jobs at most. Raises InvalidRequest."""

        async def act(page: Sequence[Job]) -> int:
            unasked = [job.id for job in page if job.cancel_requested_at is None]
            jobs = await self.store.cancel_many(unasked, _CANCEL_RECORD)
            self.telling.soon(self._tell_cancelled(jobs))
            return len(jobs)

        return await page_by_page(self.store, in_states(wanted, (Status.PENDING, Status.IN_PROGRESS), "cancelled"), act)

    async def _tell_cancelled(self, jobs: Sequence[Job]) -> None:
        ended = [job for job in jobs if job.status.terminal]
        self.notices.changes.tell(moved(job) for job in ended)
        if ended:
            await self.queue.finish(ended)
        await self.notices.send(ENDED, [job.id for job in ended])
        await self.notices.send(CANCEL, [job.id for job in jobs if not job.status.terminal])

    async def retry(self, job_id: UUID) -> Job:
        """A person's decision to run a failed or cancelled job again. Raises NotFound, Conflict."""
        job = await self.store.retry(job_id)
        if job is None:
            now = await self.get(job_id)
            raise Conflict(f"Job {job_id} is {now.status}; only failed and cancelled jobs can be retried.")
        self.telling.push_again([job])
        return job

    async def retry_matching(self, wanted: Filter) -> Changes:
        """Run what fits again, `wanted.limit` jobs at most. Raises InvalidRequest."""

        async def act(page: Sequence[Job]) -> int:
            jobs = await self.store.retry_many([job.id for job in page])
            self.telling.push_again(jobs)
            return len(jobs)

        return await page_by_page(self.store, in_states(wanted, (Status.FAILED, Status.CANCELLED), "retried"), act)

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
        return job if job.status.terminal else await self._waiting.until_ended(job_id, timeout_s)
