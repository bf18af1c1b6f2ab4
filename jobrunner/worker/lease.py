"""A worker's right to run jobs: one row, renewed by a heartbeat.

Past its end the worker starts no side effect. It may still renew it as long as nobody declared the worker dead; once
somebody did, it drops all it holds and takes a new identity.
"""

import asyncio
import os
import socket
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from jobrunner.store.postgres import Store


class Lease:
    """Local time is monotonic and counted from before the question was sent, so it ends no later than the row's."""

    def __init__(
        self,
        store: Store,
        *,
        queue: str,
        tasks: Collection[str],
        max_jobs: int,
        lease_s: float,
        worker: UUID | None = None,
    ) -> None:
        self._store = store
        self._queue = queue
        self._tasks = tasks
        self._max_jobs = max_jobs
        self.lease_s = lease_s
        self.worker: UUID = worker or uuid7()
        self._taken_at = datetime.now(UTC)
        self._taken = time.monotonic()
        self._ends = 0.0
        self._gapless_since = 0.0
        self._renewed = asyncio.Event()

    async def take_anew(self) -> None:
        """Come back as another. Raises Unavailable."""
        self.worker = uuid7()
        await self.take()

    async def take(self) -> None:
        """Register. Raises Unavailable."""
        asked = time.monotonic()
        self._taken_at = await self._store.leases.register(
            self.worker,
            host=socket.gethostname(),
            pid=os.getpid(),
            queue=self._queue,
            version=version("jobrunner"),
            max_jobs=self._max_jobs,
            lease_s=self.lease_s,
            tasks=self._tasks,
        )
        self._taken = time.monotonic()
        self._gapless_since = asked
        self._extend(asked)

    def now(self) -> datetime:
        """By Postgres' clock, as far as it was right when this lease was taken: this machine's own may be wrong.

        Late by the way of one answer, and never early.
        """
        return self._taken_at + timedelta(seconds=time.monotonic() - self._taken)

    async def renew(self, *, in_flight: int, stats: Mapping[str, Any]) -> list[UUID] | None:
        """The jobs to cancel, or None if this worker was declared dead. Raises Unavailable."""
        asked = time.monotonic()
        cancels = await self._store.leases.renew(self.worker, lease_s=self.lease_s, in_flight=in_flight, stats=stats)
        if cancels is not None:
            if asked > self._ends:
                self._gapless_since = asked
            self._extend(asked)
        return cancels

    async def valid(self) -> None:
        """Return while the lease lasts; past its end, wait for its renewal."""
        while time.monotonic() >= self._ends:
            self._renewed.clear()
            await self._renewed.wait()

    @property
    def age_s(self) -> float:
        """Since it was taken or renewed; 0 before."""
        return max(0.0, time.monotonic() - self._ends + self.lease_s) if self._ends else 0.0

    @property
    def lasts(self) -> bool:
        return time.monotonic() < self._ends

    @property
    def may_rescue(self) -> bool:
        """Only one who renewed without a gap for a whole lease: after an outage the living renew first."""
        return self.steady_s >= self.lease_s

    @property
    def steady_s(self) -> float:
        """For how long it lasts without a gap; 0 if it ran out."""
        return time.monotonic() - self._gapless_since if self.lasts else 0.0

    def _extend(self, asked: float) -> None:
        self._ends = asked + self.lease_s
        self._renewed.set()
