"""What a task sees of the worker: its job, its steps, its purchases and its progress. Implements TaskContext."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from jobrunner.job import Job
from jobrunner.store.rows import ProgressNote, Step
from jobrunner.work import Artifact, ImageRequest, Kind
from jobrunner.worker.purchase import Purchase, keep
from jobrunner.worker.steps import Steps
from jobrunner.worker.tools import Tools

T = TypeVar("T")
_NOTE_CHARS = 500


class Context:
    def __init__(self, job: Job, tools: Tools, *, resubmit: bool) -> None:
        self._job = job
        self._tools = tools
        self._steps = Steps(job, tools)
        self._purchase = Purchase(job, self._steps, tools, resubmit=resubmit, progress=self.progress)

    @property
    def job(self) -> Job:
        return self._job

    async def generate(self, request: ImageRequest, *, step: str = "generate") -> list[Artifact]:
        return await self._purchase.make(request, step)

    async def step(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        known = await self._steps.find(name)
        if known is not None and known.state == "done":
            return known.result  # type: ignore[no-any-return]  # what `make` answered once, as JSON
        await self._steps.guard()
        result = await make()
        await self._steps.commit(Step(self._job.id, name, self._job.fence, "done", result=result))
        return result

    async def save(self, path: Path, *, kind: Kind, step: str = "save") -> Artifact:
        known = await self._steps.find(step)
        if known is not None and known.state == "done":
            return Artifact.from_json(known.result)
        await self._steps.guard()
        artifact = await keep(path, self._job.id, kind, self._tools)
        done = Step(self._job.id, step, self._job.fence, "done", result=artifact.to_json())
        await self._steps.commit(done, [artifact])
        return artifact

    def progress(self, fraction: float, note: str = "") -> None:
        """Only the last word before each flush is written."""
        fraction = min(1.0, max(0.0, fraction))
        self._tools.progress[self._job.id] = ProgressNote(self._job.id, self._job.fence, fraction, note[:_NOTE_CHARS])

    async def cancel_upstream(self) -> dict[str, str]:
        return await self._purchase.cancel_upstream()

    def close(self) -> None:
        """After this no step, write or artifact of this attempt goes through."""
        self._steps.closed = True
        self._tools.progress.pop(self._job.id, None)
