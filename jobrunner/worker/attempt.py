"""One attempt at a job, top to bottom: params, context, function, outcome, transition."""

import asyncio
import logging
import time
from typing import Any

from jobrunner.declare import TaskSpec
from jobrunner.errors import InvalidParams, InvalidRequest, JobrunnerError, PermanentError
from jobrunner.events import emit
from jobrunner.job import Cancelled, HandedBack, Job, Outcome, Raised, Returned, TimedOut, decide
from jobrunner.store.rows import Finish
from jobrunner.worker.context import Context
from jobrunner.worker.supervise import Stop, Stopped, Supervised
from jobrunner.worker.tools import Tools

_UPSTREAM_S = 10.0
"""How long an ending attempt waits for a provider's answer to its cancel."""


class Attempt:
    def __init__(self, job: Job, spec: TaskSpec[Any, Any], tools: Tools) -> None:
        self.job = job
        self._spec = spec
        self._tools = tools
        self._context = Context(job, tools, resubmit=spec.resubmit)
        self._supervised: Supervised | None = None
        self._stopped_early: Stop | None = None
        self.run_s = 0.0
        """How long it ran, once it has."""

    async def run(self) -> Finish | None:
        """What is to be written, or None if the job is no longer ours. Raises nothing of the task's."""
        started = time.perf_counter()
        try:
            outcome = await self._outcome()
        except Exception as error:  # noqa: BLE001  # what we or a params model got wrong ends the job, not its worker
            emit("attempt.broke", logging.ERROR, job_id=str(self.job.id), exception=error)
            outcome = Raised(error)
        self.run_s = time.perf_counter() - started
        await self._context.close()
        if not self.abandoned:
            await self._tools.drop_spool(self.job)
        if outcome is None:
            return None
        return self._finish(outcome)

    def refused(self, error: InvalidRequest) -> Finish:
        """What to write where the database refuses the attempt's own end, e.g. for a NUL in its result."""
        return self._finish(Raised(PermanentError(f"The result cannot be kept: {error}", code="result_not_storable")))

    def _finish(self, outcome: Outcome) -> Finish:
        return Finish(self.job.id, self.job.fence, decide(self.job, outcome, backoff=self._spec.backoff))

    def stop(self, why: Stop) -> None:
        if self._supervised is None:
            self._stopped_early = why
        else:
            self._supervised.stop(why)

    @property
    def abandoned(self) -> bool:
        """Its function swallowed the cancellation and still runs, closed off from everything."""
        return self._supervised is not None and self._supervised.abandoned

    @property
    def function(self) -> "asyncio.Task[Any] | None":
        return None if self._supervised is None else self._supervised.task

    async def _outcome(self) -> Outcome | None:
        try:
            params = self._spec.validate(self.job.params)
        except InvalidParams as error:
            return Raised(PermanentError(str(error), code="invalid_params"))
        self._supervised = Supervised(
            self._spec.function(self._context, params),  # type: ignore[arg-type]  # an async function's coroutine
            soft_s=self._spec.soft_timeout.total_seconds(),
            hard_s=self._spec.timeout.total_seconds(),
        )
        if self._stopped_early is not None:
            self._supervised.stop(self._stopped_early)
        try:
            return self._returned(await self._supervised.run())
        except Stopped as stopped:
            return await self._after_stop(stopped.why)
        except Exception as error:  # noqa: BLE001  # whatever a task raises is its job's outcome
            if not isinstance(error, JobrunnerError):
                emit("task.raised", logging.ERROR, job_id=str(self.job.id), task=self.job.task, exception=error)
            return Raised(error)

    def _returned(self, value: Any) -> Outcome:
        if not isinstance(value, self._spec.result):
            message = (
                f"{self._spec.name} returned {type(value).__name__}, not the {self._spec.result.__name__} it declares."
            )
            return Raised(PermanentError(message, code="task_error"))
        url = getattr(value, "url", None)
        return Returned(value.model_dump(mode="json"), url if isinstance(url, str) else None)

    async def _after_stop(self, why: Stop) -> Outcome | None:
        match why:
            case "soft":
                await self._cancel_upstream()
                return TimedOut(soft=True, after_s=self._spec.soft_timeout.total_seconds())
            case "hard":
                await self._cancel_upstream()
                return TimedOut(soft=False, after_s=self._spec.timeout.total_seconds())
            case "cancel":
                return Cancelled(await self._cancel_upstream())
            case "hand_back":
                return HandedBack()
            case "lost":
                return None
            case "inside":
                message = f"{self._spec.name} cancelled itself: a CancelledError left it that nobody had asked for."
                return Raised(PermanentError(message, code="task_error"))

    async def _cancel_upstream(self) -> dict[str, str]:
        """A provider that goes on working for a job that ended goes on billing."""
        try:
            async with asyncio.timeout(_UPSTREAM_S):
                return await self._context.cancel_upstream()
        except (JobrunnerError, TimeoutError) as error:
            emit("cancel.unanswered", logging.WARNING, job_id=str(self.job.id), error=str(error))
            return {"": "unknown"}
