"""How many jobs a caller may have at once: each takes a seat before it is inserted.

Jobs end in workers, which know of no caller, so seats are taken in Redis and cleared by what Postgres says once all are
taken. While Redis is away each server counts those that it let in itself: none lets in more than the limit, though
several may together; and Redis hears of them when it is back, or has lost what it knew.
"""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from uuid import UUID

from jobrunner.api.routes import Caller
from jobrunner.batch import Batcher
from jobrunner.broker.limits import Limits, LimitsAway
from jobrunner.errors import RequestError, TooManyJobs
from jobrunner.job import Job
from jobrunner.store.postgres import Store
from jobrunner.store.rows import new_id

_INSERTED_S = 120.0
"""Past this a seat without a row is empty: its insert has long failed."""

_AGAIN_S = 5.0


class Seats:
    def __init__(self, limits: Limits, store: Store, *, queue: str) -> None:
        self._limits = limits
        self._store = store
        self._queue = queue
        self._mine: defaultdict[str, dict[UUID, float]] = defaultdict(dict)  # let in here, when by time.monotonic()
        self._asked: dict[str, Batcher[UUID, bool]] = {}

    async def drain(self, _app: object) -> None:
        for asked in self._asked.values():
            await asked.drain()

    async def seated(self, caller: Caller, act: Callable[[UUID], Awaitable[Job]], job_id: UUID | None = None) -> Job:
        """What `act` answers for a job that will be pending: `job_id`, or a new one, whose id it is given to insert.

        Raises TooManyJobs, Unavailable and what `act` raises.
        """
        id = new_id() if job_id is None else job_id
        if caller.jobs_at_once is None:
            return await act(id)
        if not await self._batcher(caller, caller.jobs_at_once).add(id):
            raise TooManyJobs(
                f"The key {caller.name!r} has {caller.jobs_at_once} jobs that have not ended, as many as it may. Wait "
                "for some to end, or cancel them.",
                retry_after_s=_AGAIN_S,
            )
        try:
            job = await act(id)
        except RequestError:  # nothing was inserted; after any other error nobody knows, before Postgres is asked
            if job_id is None:
                await self._leave(caller.name, id)
            raise
        if job.id != id:  # its idempotency key stands for an earlier job
            await self._leave(caller.name, id)
        return job

    def _batcher(self, caller: Caller, at_once: int) -> Batcher[UUID, bool]:
        """Those that come together are seated together, and one at a time counts anew."""
        if caller.name not in self._asked:
            self._asked[caller.name] = Batcher(partial(self._seat, caller.name, at_once))
        return self._asked[caller.name]

    async def _seat(self, name: str, at_once: int, ids: list[UUID]) -> list[bool]:
        """Whether there is a seat for each."""
        try:
            seated = await self._seat_in_redis(name, at_once, ids)
        except LimitsAway:
            if len(self._mine[name]) + len(ids) > at_once:
                await self._clear(name, {})
            seated = max(0, min(len(ids), at_once - len(self._mine[name])))
        self._mine[name].update(dict.fromkeys(ids[:seated], time.monotonic()))
        return [index < seated for index in range(len(ids))]

    async def _seat_in_redis(self, name: str, at_once: int, ids: list[UUID]) -> int:
        mine = self._mine[name]
        seated = await self._limits.seat(name, ids, at_once, witness=next(reversed(mine), None))
        if seated == len(ids) and len(mine) <= at_once:
            return seated
        seated = seated or 0
        leave = await self._clear(name, await self._limits.seated(name))
        await self._limits.reseat(name, stay=mine, leave=leave)
        return seated + (await self._limits.seat(name, ids[seated:], at_once, witness=None) or 0)

    async def _clear(self, name: str, ages: dict[UUID, float]) -> set[UUID]:
        """Whose seats are empty, of those in Redis (by seconds since they came) and of this server's own."""
        now = time.monotonic()
        mine = self._mine[name]
        ages = {**{id: now - since for id, since in mine.items()}, **ages}
        rows = {row.id: row.status for row in await self._store.look_up(self._queue, ages)}
        leave = {id for id, age in ages.items() if (rows[id].terminal if id in rows else age > _INSERTED_S)}
        for id in leave:
            mine.pop(id, None)
        return leave

    async def _leave(self, name: str, id: UUID) -> None:
        self._mine[name].pop(id, None)
        with suppress(LimitsAway):
            await self._limits.reseat(name, stay=(), leave=[id])
