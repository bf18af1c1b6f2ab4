"""The steps of one job: what is committed of them, and the only way to commit more."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from jobrunner.broker.changes import stepped
from jobrunner.client.showing import step_json
from jobrunner.errors import TransientError, Unavailable
from jobrunner.events import emit
from jobrunner.job import Job
from jobrunner.store.rows import Step, StepWrite
from jobrunner.work import Artifact
from jobrunner.worker.tools import Tools

T = TypeVar("T")
_AGAIN_S = 0.5


class Steps:
    """Every write waits for a lasting lease and is guarded by (worker, fence, in_progress).

    A job that is no longer this worker's raises TransientError `job_lost` at its next step, and at every one after.
    """

    def __init__(self, job: Job, tools: Tools) -> None:
        self._job = job
        self._tools = tools
        self._known: dict[str, Step] | None = {} if job.fence == 1 else None
        self.closed = False

    async def find(self, name: str) -> Step | None:
        if self._known is None:
            steps = await self.sit_out(name, lambda: self._tools.store.steps_of(self._job.id))
            self._known = {step.name: step for step in steps}
        return self._known.get(name)

    async def all(self) -> list[Step]:
        await self.find("")
        return list((self._known or {}).values())

    async def commit(self, step: Step, artifacts: Sequence[Artifact] = ()) -> Step:
        """Commit `step` as this attempt's."""
        step = replace(step, fence=self._job.fence)
        written = await self.sit_out(step.name, lambda: self._tools.steps.add(StepWrite(step, artifacts)))
        if not written:
            self.closed = True
            await self.guard()
        self._tools.changes.tell([stepped(self._job, step_json(step))])
        if self._known is not None:
            self._known[step.name] = step
        return step

    async def sit_out(self, name: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask Postgres until it answers: its outage fails no job, whose timeout bounds the wait."""
        while True:
            await self.guard()
            try:
                return await ask()
            except Unavailable as error:
                emit("step.waits", logging.WARNING, job_id=str(self._job.id), step=name, error=str(error))
                await asyncio.sleep(_AGAIN_S)

    async def guard(self) -> None:
        """Pass only while this attempt may still act."""
        await self._tools.lease.valid()
        if self.closed:
            raise TransientError(
                "This attempt no longer holds its job: another worker has it, or it was stopped.", code="job_lost"
            )
