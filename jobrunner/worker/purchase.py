"""Buying one thing from a provider, once: intent, submit, handle, poll, fetch, each committed before the next.

What an earlier attempt committed decides where this one goes on:

    done     its artifacts are the answer
    running  poll the handle
    intent   it may have been sent: look it up, repeat it with the same key, or leave it to a person
    failed   refused, or failed at the provider: buy anew, under the next sequence number
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import replace

from jobrunner.errors import (
    AttemptError,
    InvalidRequest,
    PermanentError,
    PutOff,
    RateLimited,
    SubmitUnknown,
    TransientError,
)
from jobrunner.events import emit
from jobrunner.failpoints import hit
from jobrunner.job import RETRY_AFTER_CAP_S, Job
from jobrunner.net.permit import permitted
from jobrunner.providers.driver import Desk, Driver, Failed, Finished, Running
from jobrunner.request import Request
from jobrunner.store.rows import Step
from jobrunner.work import Generated, Handle, Intent
from jobrunner.worker.asking import asked, delivered
from jobrunner.worker.steps import Steps
from jobrunner.worker.tools import Tools

_POLL_FIRST_S = 0.25
_POLL_CAP_S = 5.0
_POLL_HOOKED_CAP_S = 30.0
"""Where the provider calls when it is done, polling only makes up for calls that were lost."""
_POLL_GROWTH = 1.5
_FETCHED_AGAIN = frozenset({"artifact_expired", "media_invalid"})
"""Asked once more, a provider signs new URLs, and what was no picture may have been a proxy's page."""

_SETTLE_S = 10.0
"""An orphan that its provider's list does not show this long after we began to look never arrived."""

Bought = tuple[Step, Handle | Finished]


class _Refused(Exception):
    """A sending that bought nothing as far as we know; `error` is the driver's word for why."""

    def __init__(self, error: AttemptError) -> None:
        super().__init__(str(error))
        self.error = error


class Purchase:
    """`resubmit`: the task allows buying again where nobody can tell whether the first submit arrived."""

    def __init__(
        self, job: Job, steps: Steps, tools: Tools, *, resubmit: bool, progress: Callable[[float], None]
    ) -> None:
        self._job = job
        self._steps = steps
        self._tools = tools
        self._resubmit = resubmit
        self._progress = progress

    async def make(self, request: Request, name: str) -> Generated:
        """Raises PermanentError, TransientError, RateLimited or SubmitUnknown."""
        step = await self._steps.find(name)
        bought: Bought | None = None
        if step is not None and step.state == "done":
            return Generated.from_json(step.result)
        if step is not None and step.state == "intent":
            bought = await self._recover(step)
        if step is not None and step.handle is not None and step.state == "running":
            bought = step, step.handle
        if bought is None:
            bought = await self._buy(request, name, step.sequence + 1 if step else 1)
        step, answer = bought
        if isinstance(answer, Finished):
            return await self._keep(step, answer)
        try:
            return await self._keep(step, await self._follow(step, answer))
        except PermanentError as error:
            if error.code not in _FETCHED_AGAIN:
                raise
        return await self._keep(step, await self._follow(step, answer))

    # ---- submitting ----------------------------------------------------------------------------

    async def _buy(self, request: Request, name: str, sequence: int) -> Bought:
        """Try the route's entries in turn; the next one only where the last refused before accepting."""
        refusals: list[AttemptError] = []
        for entry in self._tools.routes.get(request.route, ()):
            try:
                return await self._offer(entry, request, name, sequence + len(refusals))
            except _Refused as refused:
                refusals.append(refused.error)
                level = logging.DEBUG if isinstance(refused.error, PutOff) else logging.WARNING
                emit("route.refused", level, job_id=str(self._job.id), entry=entry, error=str(refused))
        if not refusals:
            raise PermanentError(
                f"There is no route for {request.route}: set `[routes] {request.route}`.", code="no_route"
            )
        # One that may accept later is better news than one that never will.
        raise next((error for error in refusals if error.retryable), refusals[0])

    async def _offer(self, entry: str, request: Request, name: str, sequence: int) -> Bought:
        """Buy from one entry of a route. Raises _Refused only where it certainly did not take the work."""
        provider, _, model = entry.partition(":")
        try:
            driver = self._driver(provider)
            plan = driver.prepare(model, request)
            self._tools.breakers.admit(provider)
        except AttemptError as error:
            raise _Refused(error) from error
        now = self._tools.lease.now()
        step = Step(self._job.id, name, self._job.fence, "intent", sequence, plan, created_at=now)
        step = await self._steps.commit(step)
        try:
            return await self._send(driver, step)
        except _Refused as refused:
            if not isinstance(refused.error, SubmitUnknown):
                await self._steps.commit(replace(step, state="failed", error=refused.error.record()))
                raise
            emit("submit.unknown", logging.WARNING, job_id=str(self._job.id), provider=provider, error=str(refused))
            found = await self._recover(step, refused.error)
            if found is None:
                raise _Refused(TransientError(f"{provider} did not get the request.", provider=provider)) from refused
            return found

    async def _send(self, driver: Driver, step: Step) -> Bought:
        """Send a committed intent and commit the handle that it got. Raises _Refused, also for an unknown answer."""
        intent = replace(_intent(step), webhook_url=self._tools.hooks.url(driver.name, self._job.id))
        desk = Desk(self._tools.spool_of(self._job), lambda artifact: self._tools.artifacts.path(artifact.key))
        await self._steps.guard()
        await hit("submit.before")
        try:
            with permitted(self._steps.guard):
                answer = await asked(driver.name, "submit", driver.submit(intent, desk))
        except AttemptError as error:
            self._tools.breakers.heard(driver.name, error)
            raise _Refused(error) from error
        self._tools.breakers.heard(driver.name)
        await hit("submit.after")
        return (step, answer) if isinstance(answer, Finished) else await self._bind(step, answer)

    async def _bind(self, step: Step, handle: Handle) -> Bought:
        """Commit the handle before anything else happens."""
        try:
            return await self._steps.commit(replace(step, state="running", handle=handle)), handle
        except InvalidRequest as error:  # the unique (provider, remote_id): a twin's search for its orphan was quicker
            raise TransientError(f"{handle.provider} {handle.id} already belongs to another job.") from error

    # ---- a submit whose answer nobody has ------------------------------------------------------

    async def _recover(self, step: Step, unknown: SubmitUnknown | None = None) -> Bought | None:
        """The purchase behind an intent without a handle; None where it is safe, or allowed, to buy anew."""
        plan = _intent(step).plan
        driver = self._driver(plan.provider)
        can = driver.capabilities.of(plan)
        if can.lists:
            return await self._find_orphan(driver, step)
        if can.idempotent:
            return await self._send_again(driver, step, unknown)
        if self._resubmit:
            return None
        raise SubmitUnknown(
            f"The request to {driver.name} was sent and its answer was lost ({unknown or 'the worker died'}). It may "
            f"have been made and billed; {driver.name} has no way to look it up. Check its usage page, then retry the "
            "job to buy it (again), or declare its task with resubmit=True.",
            provider=driver.name,
        )

    async def _send_again(self, driver: Driver, step: Step, unknown: AttemptError | None) -> Bought:
        """Repeat an intent under its key, once an attempt. A refusal now says nothing of the first sending."""
        if unknown is None:
            self._tools.breakers.admit(driver.name)
            try:
                return await self._send(driver, step)
            except _Refused as refused:
                if not isinstance(refused.error, SubmitUnknown):
                    raise refused.error from None
                unknown = refused.error
        raise TransientError(
            f"{driver.name} has not answered yet whether it took the request ({unknown}); the next attempt repeats it "
            "with the same idempotency key.",
            code=SubmitUnknown.code,
            provider=driver.name,
        )

    async def _find_orphan(self, driver: Driver, step: Step) -> Bought | None:
        """Look an intent up at its provider. It may have left just now, and not be listed yet."""
        plan = _intent(step).plan
        sent_at = step.created_at or self._tools.lease.now()
        since = math.floor(sent_at.timestamp() - _SETTLE_S)  # some lists tell whole seconds
        settles_at = time.monotonic() + _SETTLE_S
        while True:
            settled = time.monotonic() >= settles_at
            try:
                listed = await self._tools.listings.since(driver, since)
            except TransientError as error:
                emit("find.failed", logging.WARNING, job_id=str(self._job.id), provider=driver.name, error=str(error))
                await asyncio.sleep(_asked_s(error))
                continue
            made = [each.handle for each in listed if each.handle.submitted_at >= since and each.made_from(plan)]
            ids = [handle.id for handle in made]
            taken = await self._steps.sit_out(step.name, lambda: self._tools.store.remote_ids(driver.name, ids))  # noqa: B023
            for handle in made:
                if handle.id not in taken:
                    emit("submit.found", job_id=str(self._job.id), provider=driver.name, remote_id=handle.id)
                    return await self._bind(step, handle)
            if settled:
                return None
            await asyncio.sleep(_POLL_FIRST_S)

    # ---- following, and keeping what was made --------------------------------------------------

    async def _follow(self, step: Step, handle: Handle) -> Finished:
        """Poll to the end; a call of the provider's says when to look."""
        driver, delay_s = self._driver(handle.provider), _POLL_FIRST_S
        cap_s = _POLL_HOOKED_CAP_S if self._tools.hooks.calls(driver.name) else _POLL_CAP_S
        with self._tools.hints.of(self._job.id) as hint:
            while not isinstance(answer := await self._ask(driver, step, handle), Finished):
                if answer.progress is not None:
                    self._progress(answer.progress)
                wait_s = delay_s if answer.retry_after_s is None else answer.retry_after_s
                called = await hint.within(wait_s * random.uniform(0.9, 1.1))  # noqa: S311  # spreads a crowd
                delay_s = _POLL_FIRST_S if called else min(delay_s * _POLL_GROWTH, cap_s)
        return answer

    async def _ask(self, driver: Driver, step: Step, handle: Handle) -> Running | Finished:
        """Ask once. Raises what the work failed of."""
        await hit("poll.before")
        try:
            answer = await asked(driver.name, "poll", driver.poll(handle))
        except RateLimited as error:
            return Running(retry_after_s=_asked_s(error))
        except TransientError as error:
            emit("poll.failed", logging.WARNING, job_id=str(self._job.id), provider=driver.name, error=str(error))
            return Running()
        if isinstance(answer, Failed):
            emit("purchase.failed", logging.DEBUG, provider=driver.name, error=answer.error.code)
            await self._steps.commit(replace(step, state="failed", error=answer.error.record()))
            raise answer.error
        return answer

    async def _keep(self, step: Step, finished: Finished) -> Generated:
        """Copy what was made into our store before the step says that it is done: a provider's URL dies in hours."""
        driver = self._driver(_intent(step).plan.provider)
        artifacts = []
        for output in finished.outputs:
            path = await asked(driver.name, "fetch", driver.fetch(output, self._tools.spool_of(self._job)))
            artifacts.append(await self._tools.keep(path, self._job, output.kind))
            await hit("keep.between")
        made = Generated(tuple(artifacts), finished.text, finished.meta, finished.cost)
        await self._steps.commit(replace(step, state="done", result=made.to_json()), artifacts)
        now = self._tools.lease.now()
        delivered(driver.name, now - (step.created_at or now), made.cost)
        return made

    async def cancel_upstream(self) -> dict[str, str]:
        """Ask each provider to stop what this job has under way; its answer by step name."""
        answers: dict[str, str] = {}
        for step in await self._steps.all():
            if step.state == "running" and step.handle is not None:
                driver = self._driver(step.handle.provider)
                answers[step.name] = await asked(driver.name, "cancel", driver.cancel(step.handle))
            elif step.state == "intent":
                answers[step.name] = "unknown"
        return answers

    def _driver(self, provider: str) -> Driver:
        driver = self._tools.drivers.get(provider)
        if driver is None:
            raise PermanentError(
                f"There is no provider {provider!r}; `[routes]` may name {', '.join(sorted(self._tools.drivers))}.",
                code="unknown_provider",
            )
        return driver


def _asked_s(error: TransientError) -> float:
    """How long to wait before asking a provider again that could not say."""
    asked_s = error.retry_after_s if isinstance(error, RateLimited) else None
    return min(asked_s or _POLL_CAP_S, RETRY_AFTER_CAP_S)


def _intent(step: Step) -> Intent:
    if step.plan is None:
        raise AssertionError(f"step {step.name} of job {step.job_id} is no purchase")
    return Intent(f"{step.job_id}:{step.name}:{step.sequence}", step.plan)
