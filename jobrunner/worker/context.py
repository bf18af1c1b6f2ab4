"""What a task sees of the worker: job, inputs, steps, purchases, and whom it tells of its work. A TaskContext."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import orjson

from jobrunner.errors import PermanentError, UrlNotAllowed
from jobrunner.job import Job
from jobrunner.request import Request
from jobrunner.store.rows import Step, to_json
from jobrunner.work import Artifact, Generated, Kind, Level
from jobrunner.worker.journal import Log
from jobrunner.worker.purchase import Purchase
from jobrunner.worker.steps import Steps
from jobrunner.worker.tools import Tools

T = TypeVar("T")
_NOTE_CHARS = 500
_INPUT_BYTES = 512 * 1024 * 1024
_INPUT_S = 300.0


class Context:
    def __init__(self, job: Job, tools: Tools, *, resubmit: bool) -> None:
        self._job = job
        self._tools = tools
        self._steps = Steps(job, tools)
        self._names: set[str] = set()
        self._log = Log(job)
        self._purchase = Purchase(job, self._steps, tools, resubmit=resubmit, progress=self.progress)

    @property
    def job(self) -> Job:
        return self._job

    async def generate(self, request: Request, *, step: str = "generate") -> Generated:
        self._first_use(step)
        return await self._purchase.make(request, step)

    async def step(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        self._first_use(name)
        known = await self._steps.find(name)
        if known is None or known.state != "done":
            await self._steps.guard()
            result = orjson.loads(to_json(await make()) or "null")  # as a later attempt will get it
            known = await self._steps.commit(Step(self._job.id, name, self._job.fence, "done", result=result))
        return known.result  # type: ignore[no-any-return]  # what `make` answered once, as JSON

    async def save(self, path: Path, *, kind: Kind, step: str = "save") -> Artifact:
        self._first_use(step)
        return await self._saved(step, kind, lambda: _already(path))

    async def input(self, source: str, *, kind: Kind | None) -> Artifact:
        try:
            artifact_id = UUID(source)
        except ValueError:
            step = f"input.{hashlib.sha256(source.encode()).hexdigest()[:16]}"
            return await self._saved(step, kind, lambda: self._download(source))
        return await self._known(artifact_id, kind)

    async def send_webhook(self, url: str, message_id: str, body: bytes) -> int:
        await self._steps.guard()
        return await self._tools.receivers.send(url, message_id, body)

    def path(self, artifact: Artifact) -> Path:
        return self._tools.artifacts.path(artifact.key)

    def progress(self, fraction: float, note: str = "") -> None:
        """Only the last word before each flush is written."""
        if self._steps.closed:
            return
        fraction = min(1.0, max(0.0, fraction))
        self._tools.progress.say(self._job, fraction, note[:_NOTE_CHARS])

    def preview(self, image: bytes | Path) -> None:
        if not self._steps.closed:
            self._tools.previews.show(self._log, image)

    def log(self, message: str, /, *, level: Level = "info", **fields: Any) -> None:
        """Raises ValueError for a level that there is not."""
        if not self._steps.closed:
            self._tools.journal.say(self._log, message, level, fields)

    async def cancel_upstream(self) -> dict[str, str]:
        return await self._purchase.cancel_upstream()

    async def close(self) -> None:
        """From now on no step, write or artifact of this attempt goes through; what it has logged is written."""
        self._steps.closed = True
        self._tools.progress.end(self._job)
        self._tools.previews.end(self._log)
        await self._tools.journal.end(self._log)

    def _first_use(self, step: str) -> None:
        if step in self._names:
            raise PermanentError(
                f"{self._job.task} uses the step name {step!r} twice; give each its own, e.g. step={step + '-2'!r}.",
                code="step_name_reused",
            )
        self._names.add(step)

    async def _saved(self, step: str, kind: Kind | None, bring: Callable[[], Awaitable[Path]]) -> Artifact:
        known = await self._steps.find(step)
        if known is not None and known.state == "done":
            return Artifact.from_json(known.result)
        await self._steps.guard()
        artifact = await self._tools.keep(await bring(), self._job, kind)
        done = Step(self._job.id, step, self._job.fence, "done", result=artifact.to_json())
        await self._steps.commit(done, [artifact])
        return artifact

    async def _download(self, url: str) -> Path:
        spool = self._tools.spool_of(self._job)
        try:
            return (await self._tools.net.download(url, spool, max_bytes=_INPUT_BYTES, total_s=_INPUT_S)).path
        except UrlNotAllowed as error:
            raise PermanentError(str(error), code=error.code) from error

    async def _known(self, artifact_id: UUID, kind: Kind | None) -> Artifact:
        """An artifact that the job's user may use: its own, or one of nobody in particular."""
        artifact = await self._steps.sit_out("input", lambda: self._tools.store.artifact(artifact_id))
        if artifact is None or artifact.user_id not in {None, self._job.user_id}:
            raise PermanentError(
                f"There is no artifact {artifact_id}; upload the file, or name an https URL.", code="artifact_not_found"
            )
        if kind not in {None, artifact.kind}:
            raise PermanentError(
                f"Artifact {artifact_id} is {artifact.mime}, where {kind} was expected.", code="invalid_input"
            )
        return artifact


async def _already(path: Path) -> Path:
    return path
