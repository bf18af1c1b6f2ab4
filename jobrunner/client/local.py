"""The verbs in process: straight to Postgres, Redis and the artifact store."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Unpack
from uuid import UUID

from jobrunner import shown
from jobrunner.client import Client
from jobrunner.client.showing import show_artifact, show_job, show_step, show_task
from jobrunner.client.submitting import Asked
from jobrunner.client.uploads import Uploads
from jobrunner.declare import SubmitOptions
from jobrunner.errors import JobrunnerError, RequestError
from jobrunner.job import Job
from jobrunner.store.artifacts import FileArtifacts
from jobrunner.store.rows import Filter
from jobrunner.submitted import SubmittedJob
from jobrunner.verbs import PLAIN, Params, Submission, Task, Verbs, Wanted, as_json, waiting
from jobrunner.verbs.checked import BLOCK_BYTES, write_checked

_PAGE = 200


@dataclass(frozen=True, slots=True, eq=False)
class Local(Verbs):
    client: Client
    files: FileArtifacts
    uploads: Uploads

    async def submit(self, task: Task, params: Params, options: SubmitOptions = PLAIN) -> SubmittedJob[Any]:
        return self._submitted(await self.client.submit(*self._asked(task, params, options)), task)

    async def submit_many(self, submissions: Sequence[Submission]) -> list[SubmittedJob[Any] | JobrunnerError]:
        asked = [self._asked_or_error(each) for each in submissions]
        kept = iter(await self.client.submit_many([each for each in asked if not isinstance(each, RequestError)]))
        answers = [each if isinstance(each, RequestError) else next(kept) for each in asked]
        return [
            each if isinstance(each, RequestError) else self._submitted(each, submission.task)
            for each, submission in zip(answers, submissions, strict=True)
        ]

    def _asked(self, task: Task, params: Params, options: SubmitOptions) -> Asked:
        """Raises UnknownTask, InvalidParams."""
        spec = self.client.task(task) if isinstance(task, str) else task
        return spec, params if isinstance(params, spec.params) else spec.validate(as_json(params)), options

    def _asked_or_error(self, submission: Submission) -> Asked | RequestError:
        try:
            return self._asked(submission.task, submission.params, submission.options)
        except RequestError as error:
            return error

    def _submitted(self, job: Job, task: Task) -> SubmittedJob[Any]:
        return SubmittedJob(job.id, self, None if isinstance(task, str) else task.result)

    async def get(self, job_id: UUID) -> shown.Job:
        return await self._shown(await self.client.get(job_id))

    async def wait(self, job_id: UUID, timeout_s: float | None = None) -> shown.Job:
        async with waiting(job_id, timeout_s):
            return await self._shown(await self.client.wait(job_id))

    async def cancel(self, job_id: UUID) -> shown.Job:
        return await self._shown(await self.client.cancel(job_id))

    async def retry(self, job_id: UUID) -> shown.Job:
        return await self._shown(await self.client.retry(job_id))

    async def search(self, **wanted: Unpack[Wanted]) -> AsyncIterator[shown.Job]:
        after = None
        while True:
            page = await self.client.search(Filter(**wanted, limit=_PAGE, after=after))
            artifacts = await self.client.artifacts([job.id for job in page]) if page else []
            for job in page:
                yield show_job(job, artifacts)
            if len(page) < _PAGE:
                return
            after = (page[-1].created_at, page[-1].id)

    async def steps(self, job_id: UUID) -> list[shown.Step]:
        await self.client.get(job_id)
        return [show_step(step) for step in await self.client.steps(job_id)]

    async def artifacts(self, job_id: UUID) -> list[shown.Artifact]:
        return (await self.get(job_id)).artifacts

    async def upload(self, source: Path | bytes, *, user_id: str | None = None) -> shown.Artifact:
        async with self.uploads.spooled() as path:
            await asyncio.to_thread(_copy, source, path)
            return show_artifact(await self.uploads.take(path, user_id=user_id))

    async def download(self, artifact: shown.Artifact, into: Path) -> Path:
        kept = await self.client.artifact(artifact.id)
        with await asyncio.to_thread(self.files.path(kept.key).open, "rb") as file:
            await write_checked(_blocks(file), artifact, into)
        return into

    async def tasks(self) -> list[shown.Task]:
        return [show_task(spec) for _, spec in sorted(self.client.tasks.items())]

    async def _shown(self, job: Job) -> shown.Job:
        return show_job(job, await self.client.artifacts([job.id]))


def _copy(source: Path | bytes, to: Path) -> None:
    if isinstance(source, bytes):
        to.write_bytes(source)
    else:
        shutil.copyfile(source, to)


async def _blocks(file: BinaryIO) -> AsyncIterator[bytes]:
    while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
        yield block
