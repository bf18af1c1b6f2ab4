"""The JobRunner that applications open, in process or over HTTP."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack
from uuid import UUID

from jobrunner import shown
from jobrunner.declare import SubmitOptions, pop_runner, push_runner
from jobrunner.errors import ConfigError, JobrunnerError, NoRunner
from jobrunner.submitted import SubmittedJob
from jobrunner.verbs import PLAIN, Params, Submission, Task, Verbs, Wanted, Watched

if TYPE_CHECKING:
    from jobrunner.settings import Settings

PATIENCE_S = 60.0


class JobRunner(Verbs):
    """Opens jobrunner inside an application, so that `await task.delay(...)` works in it.

        async with JobRunner() as runner:
            job = await generate_scene_image.delay(scene_description="...", scene_number=1, user_id="u1")
            image = await job.result(timeout=120)

    In process it needs the database and Redis, and reads settings.toml and the environment unless `settings` are
    given. With `url` it speaks to a server that runs elsewhere, and needs nothing else:

        async with JobRunner(url="https://jobs.example.com", api_key="jr_...") as runner:
            job = await runner.submit("generate_scene_image", {"scene_description": "...", "scene_number": 1})
            image = await job.result(timeout=120)

    The verbs are the same, and raise the same. Over HTTP they are repeated where that is safe, questions and submits,
    for `patience_s` seconds after the first trouble; then they raise Unavailable.
    """

    def __init__(
        self,
        settings: "Settings | None" = None,
        *,
        url: str | None = None,
        api_key: str | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Raises ConfigError for arguments that do not belong together."""
        if url is not None and settings is not None:
            raise ConfigError("Give JobRunner `settings`, to run in process, or the `url` of an API; not both.")
        if url is None and api_key is not None:
            raise ConfigError("JobRunner's `api_key` is for an API: give its `url`, too.")
        self._settings = settings
        self._url = url
        self._api_key = api_key
        self._patience_s = patience_s
        self._stack = AsyncExitStack()
        self._verbs: Verbs | None = None

    async def __aenter__(self) -> Self:
        """Raises ConfigError, Unavailable."""
        self._verbs = await (self._here() if self._url is None else self._there(self._url))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._verbs = None
        await self._stack.aclose()

    # Each kind is imported when it is opened: a client of the API loads neither database driver nor queue.

    async def _here(self) -> Verbs:
        from jobrunner.runtime import opened, resolve  # noqa: PLC0415
        from jobrunner.settings import load  # noqa: PLC0415

        runtime = await self._stack.enter_async_context(opened(resolve(self._settings or load())))
        return runtime.local

    async def _there(self, url: str) -> Verbs:
        from jobrunner import remote  # noqa: PLC0415

        verbs = await self._stack.enter_async_context(remote.opened(url, self._api_key, self._patience_s))
        push_runner(verbs)
        self._stack.callback(pop_runner, verbs)
        return verbs

    @property
    def _open(self) -> Verbs:
        if self._verbs is None:
            raise NoRunner("This JobRunner is not open: use `async with JobRunner() as runner:`.")
        return self._verbs

    async def submit(self, task: Task, params: Params, options: SubmitOptions = PLAIN) -> SubmittedJob[Any]:
        return await self._open.submit(task, params, options)

    async def submit_many(self, submissions: Sequence[Submission]) -> list[SubmittedJob[Any] | JobrunnerError]:
        return await self._open.submit_many(submissions)

    async def get(self, job_id: UUID) -> shown.Job:
        return await self._open.get(job_id)

    async def wait(self, job_id: UUID, timeout_s: float | None = None) -> shown.Job:
        return await self._open.wait(job_id, timeout_s)

    async def cancel(self, job_id: UUID) -> shown.Job:
        return await self._open.cancel(job_id)

    async def retry(self, job_id: UUID) -> shown.Job:
        return await self._open.retry(job_id)

    def search(self, **wanted: Unpack[Wanted]) -> AsyncIterator[shown.Job]:
        return self._open.search(**wanted)

    async def steps(self, job_id: UUID) -> list[shown.Step]:
        return await self._open.steps(job_id)

    def logs(self, job_id: UUID, *, follow: bool = False) -> AsyncIterator[shown.LogLine]:
        return self._open.logs(job_id, follow=follow)

    def events(self, **wanted: Unpack[Watched]) -> AsyncIterator[shown.Event]:
        return self._open.events(**wanted)

    async def artifacts(self, job_id: UUID) -> list[shown.Artifact]:
        return await self._open.artifacts(job_id)

    async def upload(self, source: Path | bytes, *, user_id: str | None = None) -> shown.Artifact:
        return await self._open.upload(source, user_id=user_id)

    async def download(self, artifact: shown.Artifact, into: Path) -> Path:
        return await self._open.download(artifact, into)

    async def tasks(self) -> list[shown.Task]:
        return await self._open.tasks()
