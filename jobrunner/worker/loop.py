"""The worker's main loop: sleep until woken, claim as many jobs as there are free slots, run them, write their ends.

The shutdown rule: stop claiming; let short work end within `drain_s`; hand the rest back, nothing counted; retire
the lease; go. A second signal skips the waiting.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from jobrunner.batch import Batcher
from jobrunner.broker.connection import end_tasks
from jobrunner.broker.queue import Queue
from jobrunner.broker.stream import CANCEL
from jobrunner.declare import TaskSpec
from jobrunner.errors import InvalidRequest, Unavailable
from jobrunner.events import emit
from jobrunner.failpoints import hit
from jobrunner.job import Job, Status
from jobrunner.runtime import Runtime
from jobrunner.store.rows import Finish, StepWrite
from jobrunner.worker import claims
from jobrunner.worker.attempt import Attempt
from jobrunner.worker.claims import Claims
from jobrunner.worker.lease import Lease
from jobrunner.worker.tools import Tools
from jobrunner.worker.upkeep import Adopt, Heartbeat, Progress, Reconcile, Rescue, Service, forever, hold_ms, tell

T = TypeVar("T")

IDLE_S = 10.0
"""An idle worker looks up from its sleep this often, to hear that it should stop waiting for a lost wake."""

_HAND_BACK_S = 1.5
_STUCK_SHARE = 10
"""A worker with more than one in this many slots held by functions that do not end drains and exits."""


def health_check_key(queue: str) -> str:
    """One a host: `arq --check` on this host asks for this host's workers."""
    return f"{queue}:health-check:{socket.gethostname()}"


class WorkerLoop:
    """`burst`: end when nothing is due. `ready` is set once the worker claims."""

    def __init__(self, runtime: Runtime, *, burst: bool = False) -> None:
        settings = runtime.settings
        self._runtime = runtime
        self._burst = burst
        self._store = runtime.store
        self._queue: Queue = runtime.queue
        self._slots = settings.worker.max_jobs
        self._drain_s = settings.worker.drain_s
        self._tasks: Mapping[str, TaskSpec[Any, Any]] = runtime.tasks
        self._lease = Lease(
            runtime.store, queue=settings.worker.queue, max_jobs=self._slots, lease_s=settings.worker.lease_s
        )
        self._claims = Claims(
            runtime.store,
            runtime.queue,
            runtime.tasks,
            worker=lambda: self._lease.worker,
            running=lambda: self._running,
        )
        self._tools = Tools(
            store=runtime.store,
            lease=self._lease,
            artifacts=runtime.artifacts,
            drivers=runtime.drivers,
            routes=settings.routes,
            spool=settings.directory / "spool",
            net=runtime.net,
            steps=Batcher(self._save_steps),
        )
        self._ends: Batcher[Finish, Job | None] = Batcher(self._write_ends)
        self._running: dict[UUID, Attempt] = {}
        self._attempts: set[asyncio.Task[None]] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._stuck: set[asyncio.Task[Any]] = set()
        self._slot_free = asyncio.Event()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._gave_up = False
        self._counts = {"complete": 0, "failed": 0, "retried": 0}
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
        emit("worker.stopped", worker=str(self._lease.worker), **self._counts)
        if self._gave_up:
            raise Unavailable(
                "Too many slots were held by task functions that do not end when they are cancelled; this worker ends "
                "so that its supervisor starts a fresh one. Look for `task.stuck` above."
            )

    def stop(self) -> None:
        """Drain and end; called again: end without waiting for running jobs."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()
        self._slot_free.set()

    @asynccontextmanager
    async def _upkeep(self) -> AsyncIterator[None]:
        """Everything that runs beside the claiming, until the drain is over."""
        runtime, lease = self._runtime, self._lease
        holds_ms = {name: hold_ms(spec) for name, spec in self._tasks.items()}
        heartbeat = Heartbeat(
            lease, in_flight=lambda: len(self._running), cancel=self._cancel, died=self._reborn, beat=self._beat
        )
        services: list[Service] = [
            heartbeat,
            Rescue(self._store, self._queue, runtime.notices, lease),
            Reconcile(self._store, self._queue, holds_ms, every_s=min(10.0, lease.lease_s / 3)),
            Adopt(self._store, self._queue, runtime.notices, self._tasks),
            Progress(self._tools),
        ]
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(runtime.notices.listening(CANCEL, self._cancel))
            running = [asyncio.create_task(forever(service), name=service.name) for service in services]
            try:
                yield
            finally:
                await end_tasks(*running)

    # ---- claiming ------------------------------------------------------------------------------

    async def _claim_until_stopped(self) -> None:
        while not self._stopping.is_set():
            free = self._slots - len(self._running) - len(self._stuck)
            if free <= 0:
                self._slot_free.clear()
                await self._slot_free.wait()
                continue
            if not self._lease.lasts:
                await self._unless_stopped(self._lease.valid())
                continue
            try:
                jobs, next_due_s = await self._claims.take(free)
            except Unavailable as error:
                emit("claim.waits", logging.WARNING, error=str(error))
                await self._pause(claims.BACKOFF_S)
                continue
            for job in jobs:
                self._start(job)
            if not jobs:
                if self._burst and not self._running and next_due_s != 0.0:
                    return
                idle_s = claims.BACKOFF_S if self._burst else IDLE_S  # the end of its jobs is not what wakes a sleeper
                await self._sleep(idle_s if next_due_s is None else min(idle_s, next_due_s))

    async def _sleep(self, timeout_s: float) -> None:
        """Until a push wakes us, `timeout_s` is over, or we are told to stop."""
        if self._claims.away_since is not None:
            await self._pause(timeout_s)
            return
        waking = await self._unless_stopped(self._queue.wait(timeout_s))
        if not waking.cancelled() and isinstance(waking.exception(), Unavailable):
            await self._pause(claims.BACKOFF_S)

    async def _unless_stopped(self, awaited: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Await it, or break it off when we are told to stop; either way its task has ended."""
        task, stopping = asyncio.create_task(awaited), asyncio.create_task(self._stopping.wait())
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        await end_tasks(task, stopping)
        return task

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

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
        emit("job.started", logging.DEBUG, job_id=str(job.id), task=job.task, attempt=job.fence)
        try:
            end = await attempt.run()
            if attempt.abandoned and attempt.function is not None:
                self._hold_stuck(attempt.function)
            if end is not None:
                await self._write(attempt, end)
        except Exception as error:  # noqa: BLE001  # a bug of ours: the next worker gets the job when this one leaves
            emit("attempt.broke", logging.ERROR, job_id=str(job.id), exception=error)
        finally:
            if self._running.get(job.id) is attempt:  # not the next attempt, which may have begun here already
                del self._running[job.id]
            self._slot_free.set()

    async def _write(self, attempt: Attempt, end: Finish) -> None:
        """Offer the outcome until Postgres takes it or says that the job is no longer ours."""
        while True:
            try:
                job = await self._ends.add(end)
            except Unavailable as error:
                emit("finish.waits", logging.WARNING, job_id=str(end.id), error=str(error))
                await asyncio.sleep(claims.BACKOFF_S)
                continue
            except InvalidRequest as error:
                end = attempt.refused(error)
                continue
            if job is None:
                emit("finish.too_late", logging.WARNING, job_id=str(end.id), attempt=end.fence)
            return

    async def _write_ends(self, ends: list[Finish]) -> list[Job | BaseException | None]:
        await hit("finish.before")
        results = await self._store.finish(self._lease.worker, ends)
        jobs = [job for job in results if isinstance(job, Job)]
        for job in jobs:
            self._count(job)
        telling = asyncio.create_task(tell(self._queue, self._runtime.notices, jobs))  # the next batch need not wait
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)
        return results

    async def _save_steps(self, writes: list[StepWrite]) -> list[bool | BaseException]:
        return await self._store.save_steps(self._lease.worker, writes)

    def _count(self, job: Job) -> None:
        word = {Status.COMPLETED: "complete", Status.FAILED: "failed", Status.PENDING: "retried"}.get(job.status)
        if word is not None:
            self._counts[word] += 1
        emit(
            "job.ended" if job.status.terminal else "job.requeued",
            job_id=str(job.id),
            task=job.task,
            status=job.status,
            attempt=job.fence,
            error=(job.error or {}).get("code"),
        )

    def _hold_stuck(self, function: asyncio.Task[Any]) -> None:
        """Its slot stays taken until the function ends; with too many of them this process must be replaced."""
        self._stuck.add(function)
        function.add_done_callback(self._stuck.discard)
        emit("task.stuck", logging.ERROR, stuck=len(self._stuck), slots=self._slots)
        if len(self._stuck) * _STUCK_SHARE > self._slots:
            emit("worker.gives_up", logging.CRITICAL, stuck=len(self._stuck))
            self._gave_up = True
            self.stop()

    # ---- what upkeep calls ---------------------------------------------------------------------

    def _cancel(self, ids: list[UUID]) -> None:
        for each in ids:
            if each in self._running:
                self._running[each].stop("cancel")

    async def _reborn(self) -> None:
        """Somebody declared this worker dead and has its jobs: drop everything, come back as another."""
        emit("worker.declared_dead", logging.ERROR, worker=str(self._lease.worker), jobs=len(self._running))
        for attempt in self._running.values():
            attempt.stop("lost")
        if self._attempts:
            await asyncio.wait(self._attempts)
        await self._lease.take()

    async def _beat(self) -> None:
        counts = " ".join(f"j_{word}={count}" for word, count in self._counts.items())
        counts += f" j_ongoing={len(self._running)} queued={await self._queue.depth()}"
        text = f"{datetime.now(UTC):%b-%d %H:%M:%S} {counts}"
        await self._queue.beat(health_check_key(self._queue.name), text, self._lease.lease_s)

    # ---- ending --------------------------------------------------------------------------------

    async def _drain(self) -> None:
        self._stopping.set()
        emit("worker.draining", running=len(self._running), drain_s=self._drain_s)
        await self._attempts_end(self._drain_s)
        for attempt in self._running.values():
            attempt.stop("hand_back")
        self._hurry.clear()
        await self._attempts_end(_HAND_BACK_S)
        if self._telling:
            await asyncio.wait(self._telling, timeout=_HAND_BACK_S)
        try:
            await self._store.leases.retire(self._lease.worker)
            await self._queue.forget_beat(health_check_key(self._queue.name))
            await self._queue.wake()  # a wake that we swallowed while stopping belongs to another worker
        except Unavailable as error:
            emit("worker.left_silently", logging.WARNING, error=str(error))

    async def _attempts_end(self, timeout_s: float) -> None:
        if not self._attempts:
            return
        ended = asyncio.create_task(asyncio.wait(self._attempts))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait([ended, hurry], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        await end_tasks(ended, hurry)
