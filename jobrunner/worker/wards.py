"""Suspects run apart: jobs that a worker died with go on in *wards*, child processes with ever fewer slots.

A worker that died with one job in hand died of that job. Of several it may have been any, so they all become suspect
and are never claimed beside healthy ones again. A ward runs those of one suspicion, an eighth as many at once with
each step, one in the end: a poison among 1,000 jobs is found in log8(1000) + 3 deaths, and costs no neighbour anything.
"""

import asyncio
import contextlib
import logging
import math
import os
import time
from dataclasses import dataclass
from subprocess import SubprocessError
from uuid import UUID

from uuid_utils.compat import uuid7

from jobrunner.errors import Unavailable
from jobrunner.events import emit
from jobrunner.runtime import Runtime
from jobrunner.worker.nursery import Nursery
from jobrunner.worker.upkeep import Rescue

_SHARE_BITS = 3
_AT_ONCE = max(4, os.cpu_count() or 1)
"""Wards of one worker; beyond them each suspicion still gets one, so that none waits for the others' end."""

_START_S = 3.0
"""Until a new ward claims. What is due after that was too much for those there are."""

BUSY_S, IDLE_S = 1.0, 5.0
"""How often suspects are looked for: while there are any, and while none is known."""

_REST_S = 10.0
"""One that ended by an error of its own, not by a signal, would do so again at once."""


@dataclass(frozen=True, slots=True)
class Ward:
    """Whom a ward runs, and under which identity its parent knows it."""

    suspicion: int
    worker: UUID


def slots_of(suspicion: int, max_jobs: int) -> int:
    """How many jobs run side by side: all that a worker has for the unsuspected, an eighth with each suspicion."""
    return max(1, max_jobs >> _SHARE_BITS * suspicion)


class Wards:
    """Starts wards where suspects are due, and takes the jobs of one that died at once: its process is gone.

    Redis names suspects to workers too, which may not claim them: `suspected` brings them here at once. Looking is for
    those that Redis does not name, and, where there are some, for what their wards left.
    """

    name = "wards"

    def __init__(self, runtime: Runtime, rescue: Rescue) -> None:
        self._runtime = runtime
        self._rescue = rescue
        self._living: dict[asyncio.Task[None], Ward] = {}
        self._nursery = Nursery(runtime.settings)
        self._rests_until: dict[int, float] = {}
        self._stopping = False
        self._suspected = asyncio.Event()
        self._busy = False

    @property
    def every_s(self) -> float:
        return BUSY_S if self._busy else IDLE_S

    async def run_once(self) -> None:
        due = await self._runtime.store.leases.due_suspects(self._runtime.queue.name, self._runtime.tasks.keys())
        self._busy = bool(due or self._living)
        for suspicion, jobs in due.items():
            if time.monotonic() >= self._rests_until.get(suspicion, 0.0):
                self._rest(suspicion, _START_S)
                self._open_for(suspicion, jobs)

    def suspected(self) -> None:
        """A suspect is due."""
        self._suspected.set()

    async def rest(self, timeout_s: float) -> None:
        """Until one is, or the time is over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._suspected.wait(), timeout_s)
        self._suspected.clear()

    def stop(self) -> None:
        """Let them drain; called again: at once."""
        self._stopping = True
        for ward in self._living.values():
            self._nursery.end(ward.worker)

    async def ended(self, timeout_s: float) -> None:
        """Wait for all, at most `timeout_s` seconds: who is slower ends by itself, as at our death."""
        if self._living:
            await asyncio.wait(self._living, timeout=timeout_s)
        await self._nursery.close()

    def _open_for(self, suspicion: int, jobs: int) -> None:
        slots = slots_of(suspicion, self._runtime.settings.worker.max_jobs)
        for _ in range(math.ceil(jobs / slots)):
            served = any(living.suspicion == suspicion for living in self._living.values())
            if self._stopping or (served and len(self._living) >= _AT_ONCE):
                return
            self._open(Ward(suspicion, uuid7()))

    def _open(self, ward: Ward) -> None:
        task = asyncio.create_task(self._watch(ward), name="ward")
        self._living[task] = ward
        task.add_done_callback(self._living.pop)

    async def _watch(self, ward: Ward) -> None:
        try:
            born = await self._nursery.bear(ward.worker, ward.suspicion)
        except (OSError, SubprocessError) as error:
            emit("ward.not_started", logging.ERROR, suspicion=ward.suspicion, error=str(error))
            self._rest(ward.suspicion, _REST_S)
            return
        emit("ward.started", worker=str(ward.worker), suspicion=ward.suspicion, pid=born.pid)
        if self._stopping:
            self._nursery.end(ward.worker)
        code = await born.ended
        if code is None or code == 0:
            return
        emit("ward.died", logging.ERROR, worker=str(ward.worker), suspicion=ward.suspicion, exit_code=code)
        if code > 0:
            self._rest(ward.suspicion, _REST_S)
        try:
            await self._rescue.take_from(ward.worker)
        except Unavailable as error:  # the end of its lease will do
            emit("upkeep.waits", logging.WARNING, service=self.name, error=str(error))

    def _rest(self, suspicion: int, for_s: float) -> None:
        self._rests_until[suspicion] = time.monotonic() + for_s
