"""The worker's main loop: sleep until woken, claim as many jobs as there are free slots, run them, write their ends.

The shutdown rule: stop claiming; let short work end within `drain_s`; hand the rest back, nothing counted; retire
the lease; go. A second signal skips the waiting.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

from jobrunner.batch import Batcher
from jobrunner.broker.connection import end_tasks
from jobrunner.broker.stream import CANCEL, HOOKED
from jobrunner.declare import TaskSpec
from jobrunner.errors import Unavailable
from jobrunner.events import about, emit, subscribe
from jobrunner.job import Job
from jobrunner.runtime import Runtime
from jobrunner.store.rows import StepWrite
from jobrunner.worker import claims, health
from jobrunner.worker.attempt import Attempt
from jobrunner.worker.claims import Claims
from jobrunner.worker.counting import Counting
from jobrunner.worker.ends import Ends
from jobrunner.worker.lease import Lease
from jobrunner.worker.prune import Prune
from jobrunner.worker.pulse import Pulse
from jobrunner.worker.service import Service, forever
from jobrunner.worker.stopping import Stopping
from jobrunner.worker.stuck import Stuck
from jobrunner.worker.sweep import Sweep
from jobrunner.worker.tools import Tools
from jobrunner.worker.upkeep import Adopt, Heartbeat, Reconcile, Rescue, hold_ms
from jobrunner.worker.vitals import Vitals
from jobrunner.worker.wards import Ward, Wards, slots_of

IDLE_S = 10.0
"""An idle worker looks up from its sleep this often, to hear that it should stop waiting for a lost wake."""

_HAND_BACK_S, _LEAVE_S = 1.0, 0.7
"""With the default `drain_s` a SIGTERM is over within 10 s, whatever hangs."""


class WorkerLoop:
    """`burst`: end when nothing is due. `ready` is set once the worker claims.

    As a `ward` it runs suspects alone, in few slots, until none is due; upkeep is its parent's. A `guest` runs what
    its own queue holds and does no upkeep for others, whose tasks it does not know.
    """

    def __init__(self, runtime: Runtime, *, burst: bool = False, ward: Ward | None = None, guest: bool = False) -> None:
        settings = runtime.settings
        self._runtime = runtime
        self._burst = burst or ward is not None
        self._ward, self._guest = ward, guest
        self._store, self._queue = runtime.store, runtime.queue
        suspicion = 0 if ward is None else ward.suspicion
        self._slots = slots_of(suspicion, settings.worker.max_jobs)
        self._drain_s = settings.worker.drain_s
        self._tasks: Mapping[str, TaskSpec[Any, Any]] = runtime.tasks
        self._lease = Lease(
            runtime.store,
            queue=settings.worker.queue,
            tasks=self._tasks.keys(),
            max_jobs=self._slots,
            lease_s=settings.worker.lease_s,
            worker=None if ward is None else ward.worker,
        )
        self._rescue = Rescue(runtime.store, runtime.queue, runtime.notices, self._lease)
        self._wards = Wards(runtime, self._rescue)
        self._claims = Claims(
            runtime.store,
            runtime.queue,
            runtime.notices.changes,
            runtime.tasks,
            worker=lambda: self._lease.worker,
            running=lambda: self._running,
            suspected=self._wards.suspected,
            suspicion=suspicion,
        )
        self._counting, self._vitals = Counting(runtime.store.minutes, self._lease), Vitals(self._lease.now)
        self._tools = Tools.of(runtime, self._lease, Batcher(self._save_steps))
        self._ends = Ends(runtime.store, runtime.queue, runtime.notices, self._lease)
        self._running: dict[UUID, Attempt] = {}
        self._attempts: set[asyncio.Task[None]] = set()
        self._stuck, self._stopping = Stuck(self._slots), Stopping()
        self._slot_free, self._hurry = asyncio.Event(), asyncio.Event()
        self._round_at = math.inf
        self.ready = asyncio.Event()

    # ---- life ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `stop()`. Raises ConfigError or Unavailable if it cannot start, or has to be replaced."""
        await self._queue.check()
        await self._lease.take()
        async with self._upkeep():
            self.ready.set()
            emit("worker.started", worker=str(self._lease.worker), tasks=sorted(self._tasks), slots=self._slots)
            try:
                await self._claim_until_stopped()
            finally:
                await self._drain()
        emit("worker.stopped", worker=str(self._lease.worker), **self._ends.counts)
        self._stuck.check()

    def pulse(self) -> Pulse:
        return Pulse(
            started=self.ready.is_set(),
            leaving=self._stopping.is_set(),
            silent_s=0.0 if self._stopping.is_set() else max(0.0, time.monotonic() - self._round_at),
            lease_s=self._lease.lease_s,
            lease_age_s=self._lease.age_s,
            steady_s=self._lease.steady_s,
            redis_away=self._claims.away_since is not None,
            in_flight=len(self._running),
            stuck=len(self._stuck),
            slots=self._slots,
        )

    def stop(self) -> None:
        """Drain and end; called again: end without waiting for running jobs."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()
        self._slot_free.set()
        self._wards.stop()

    @asynccontextmanager
    async def _upkeep(self) -> AsyncIterator[None]:
        """Everything that runs beside the claiming, until the drain is over."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._runtime.notices.listening(CANCEL, self._cancel))
            await stack.enter_async_context(self._runtime.notices.listening(HOOKED, self._tools.hints.heard))
            stack.enter_context(subscribe(self._counting.heard))
            stack.enter_context(subscribe(self._vitals.heard))
            running = [asyncio.create_task(forever(service), name=service.name) for service in self._services()]
            try:
                yield
            finally:
                await end_tasks(*running)

    def _services(self) -> list[Service]:
        runtime, lease, tools = self._runtime, self._lease, self._tools
        heartbeat = Heartbeat(
            lease,
            in_flight=lambda: len(self._running),
            stats=self._vitals.stats,
            cancel=self._cancel,
            died=self._reborn,
            beat=self._beat,
        )
        own: list[Service] = [heartbeat, self._counting, tools.progress, tools.journal, tools.previews]
        if self._ward is not None or self._guest:
            return own
        holds_ms = {name: hold_ms(spec) for name, spec in self._tasks.items()}
        return [
            *own,
            self._rescue,
            Reconcile(self._store, self._queue, holds_ms, every_s=min(10.0, lease.lease_s / 3)),
            Adopt(self._store, self._queue, runtime.notices, self._tasks),
            self._wards,
            Prune(runtime),
            Sweep(runtime),
        ]

    # ---- claiming ------------------------------------------------------------------------------

    async def _claim_until_stopped(self) -> None:
        while not self._stopping.is_set():
            free = self._slots - len(self._running) - len(self._stuck)
            self._round_at = math.inf  # it may wait for a slot, or for its lease, as long as it takes
            if free <= 0:
                self._slot_free.clear()
                await self._slot_free.wait()
                continue
            if not self._lease.lasts:
                await self._stopping.unless(self._lease.valid())
                continue
            self._round_at = time.monotonic()
            try:
                jobs, next_due_s = await self._claims.take(free)
            except Unavailable as error:
                emit("claim.waits", logging.WARNING, error=str(error))
                await self._stopping.pause(claims.BACKOFF_S)
                continue
            for job in jobs:
                self._start(job)
            if 0 < len(jobs) < free:  # that is all for now
                for _ in ("the attempts", "their functions"):
                    await asyncio.sleep(0)  # start before we look for more
            if not jobs:
                if self._burst and not self._running and next_due_s != 0.0:
                    return
                idle_s = claims.BACKOFF_S if self._burst else IDLE_S  # the end of its jobs is not what wakes a sleeper
                await self._sleep(idle_s if next_due_s is None else min(idle_s, next_due_s))

    async def _sleep(self, timeout_s: float) -> None:
        """Until a push wakes us, `timeout_s` is over, or we are told to stop."""
        if self._claims.away_since is not None or self._ward is not None:  # the wakes are for whom Redis gives jobs
            await self._stopping.pause(timeout_s)
            return
        waking = await self._stopping.unless(self._claims.sleep(timeout_s))
        if not waking.cancelled() and isinstance(waking.exception(), Unavailable):
            await self._stopping.pause(claims.BACKOFF_S)

    # ---- running -------------------------------------------------------------------------------

    def _start(self, job: Job) -> None:
        attempt = Attempt(job, self._tasks[job.task], self._tools)
        self._running[job.id] = attempt
        if job.cancel_requested_at is not None:
            attempt.stop("cancel")
        task = asyncio.create_task(self._run(attempt))
        self._attempts.add(task)
        task.add_done_callback(self._attempts.discard)

    async def _run(self, attempt: Attempt) -> None:
        job = attempt.job
        ids = {"job_id": str(job.id), "task": job.task, "attempt": job.fence}
        about.set(ids)
        # By Postgres' clock: the claim has just updated the row.
        emit("job.started", logging.DEBUG, **ids, waited_s=(job.updated_at - job.due_at).total_seconds())
        try:
            end = await attempt.run()
            if attempt.abandoned and attempt.function is not None and not self._stuck.hold(attempt.function):
                self.stop()
            if end is not None:
                await self._ends.write(attempt, end)
        except Exception as error:  # noqa: BLE001  # a bug of ours: the next worker gets the job when this one leaves
            emit("attempt.broke", logging.ERROR, job_id=str(job.id), exception=error)
        finally:
            if self._running.get(job.id) is attempt:  # not the next attempt, which may have begun here already
                del self._running[job.id]
            self._slot_free.set()

    async def _save_steps(self, writes: list[StepWrite]) -> list[bool | BaseException]:
        return await self._store.save_steps(self._lease.worker, writes)

    # ---- what upkeep calls ---------------------------------------------------------------------

    def _cancel(self, ids: list[UUID]) -> None:
        for each in self._running.keys() & set(ids):
            self._running[each].stop("cancel")

    async def _reborn(self) -> None:
        """Somebody declared this worker dead and has its jobs: drop everything, come back as another; a ward leaves."""
        emit("worker.declared_dead", logging.ERROR, worker=str(self._lease.worker), jobs=len(self._running))
        for attempt in self._running.values():
            attempt.stop("lost")
        if self._attempts:
            await asyncio.wait(self._attempts)
        if self._ward is None:
            await self._lease.take_anew()
        else:
            self.stop()

    async def _beat(self) -> None:
        if self._ward is not None:
            return  # the sentinel is its parent's
        counts, in_flight = self._ends.counts, len(self._running)
        await health.beat(self._queue, counts, in_flight=in_flight, lasting_s=self._lease.lease_s)

    # ---- ending --------------------------------------------------------------------------------

    async def _drain(self) -> None:
        if not self._stopping.is_set():
            self.stop()
        emit("worker.draining", running=len(self._running), drain_s=self._drain_s)
        await self._attempts_end(self._drain_s)
        for attempt in self._running.values():
            attempt.stop("hand_back")
        self._hurry.clear()
        await self._attempts_end(_HAND_BACK_S)
        farewells = (self._ends.told(_LEAVE_S), self._wards.ended(_LEAVE_S), self._leave())
        leaving = [asyncio.create_task(each) for each in farewells]
        await asyncio.wait(leaving, timeout=_LEAVE_S)  # a server that hangs must not keep us
        await end_tasks(*leaving)

    async def _leave(self) -> None:
        try:
            await self._store.leases.retire(self._lease.worker)
            await self._counting.run_once()
            if self._ward is None:
                await health.leave(self._queue)
        except Unavailable as error:
            emit("worker.left_silently", logging.WARNING, error=str(error))

    async def _attempts_end(self, timeout_s: float) -> None:
        if not self._attempts:
            return
        ended = asyncio.create_task(asyncio.wait(self._attempts))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait([ended, hurry], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        await end_tasks(ended, hurry)
