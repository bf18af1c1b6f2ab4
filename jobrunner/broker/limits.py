"""What callers may still do, counted in Redis for all servers together: requests a minute, and jobs at once.

`jobrunner:pace:<caller>` is the time, in µs of Redis' clock, up to which its requests are accounted for (GCRA, the
leaky bucket of ITU-T I.371 as a meter). `jobrunner:seats:<caller>` is a sorted set of ids of jobs, by the time, in ms,
that each was let in. Both expire by themselves and may be lost. All methods raise LimitsAway where Redis is away.
"""

import logging
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from jobrunner.broker.connection import make_redis, mapped_errors
from jobrunner.errors import Unavailable
from jobrunner.events import emit

_ANSWER_S = 0.5
"""Requests wait for this answer, so it is not waited for long."""

_AWAY_S = 5.0
_SEATS_MS = 400 * 86_400_000
"""Longer than a job may wait for its `run_at`."""

_MINUTE_US = 60_000_000

# Whatever else stands under the key, and what a clock wrote that was then set back, is bounded and written anew.
_SPEND = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local each, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local paid = redis.pcall('GET', KEYS[1])
paid = type(paid) == 'string' and tonumber(paid) or now
if not (paid > now) then paid = now end
paid = math.min(paid, now + burst)
local allowed = paid + each <= now + burst
if allowed then paid = paid + each end
redis.call('SET', KEYS[1], string.format('%.0f', paid), 'PX', math.ceil((paid - now) / 1000))
return {allowed and 1 or 0, string.format('%.0f', paid - now)}
"""

# Nobody is let in where Redis does not know the witness, an id that was let in before: it lost others as well.
_SEAT = """
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then redis.call('DEL', KEYS[1]) end
if ARGV[1] ~= '' and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return -1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken, seated = redis.call('ZCARD', KEYS[1]), 0
for i = 4, #ARGV do
  if not redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    if taken >= tonumber(ARGV[2]) then break end
    taken = taken + 1
  end
  redis.call('ZADD', KEYS[1], now, ARGV[i])
  seated = seated + 1
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return seated
"""


class LimitsAway(Unavailable):
    pass


@dataclass(frozen=True, slots=True)
class Spent:
    """Whether a request is within its limit, how many more may come now, and in how many seconds there is one more."""

    allowed: bool
    remaining: int
    wait_s: float


def spend(paid_us: float, now_us: float, per_minute: int) -> tuple[Spent, float]:
    """GCRA as in Redis, for one process alone; also answers the `paid_us` to come with next time."""
    each, burst = _each_and_burst(per_minute)
    paid_us = min(max(paid_us, now_us), now_us + burst)
    if allowed := paid_us + each <= now_us + burst:
        paid_us += each
    return _spent(per_minute, owed_us=paid_us - now_us, allowed=allowed), paid_us


def _each_and_burst(per_minute: int) -> tuple[int, int]:
    """What one request costs, and how far one may be ahead: a minute's requests may come at once. In µs."""
    each = max(1, _MINUTE_US // per_minute)
    return each, each * per_minute


def _spent(per_minute: int, *, owed_us: float, allowed: bool) -> Spent:
    each, burst = _each_and_burst(per_minute)
    remaining = int((burst - owed_us) // each)
    return Spent(allowed, remaining, (owed_us + each * (remaining + 1) - burst) / 1_000_000)


class Limits:
    def __init__(self, url: str) -> None:
        self._redis = make_redis(url, connections=8, answer_s=_ANSWER_S)
        self._spend = cast("Any", self._redis.register_script(_SPEND))
        self._seat = cast("Any", self._redis.register_script(_SEAT))
        self._away_until = 0.0

    async def aclose(self) -> None:
        await self._redis.aclose(close_connection_pool=True)

    async def spend(self, caller: str, per_minute: int) -> Spent:
        """Account for one request."""
        async with self._asking():
            allowed, owed_us = await self._spend([f"jobrunner:pace:{caller}"], _each_and_burst(per_minute))
            return _spent(per_minute, owed_us=float(owed_us), allowed=bool(allowed))

    async def seat(self, caller: str, ids: Sequence[UUID], at_once: int, *, witness: UUID | None) -> int | None:
        """Let in the first of `ids` while no more than `at_once` are in; how many. None: Redis lost the `witness`."""
        values = ["" if witness is None else str(witness), at_once, _SEATS_MS, *map(str, ids)]
        async with self._asking():
            seated = int(await self._seat([_seats(caller)], values))
            return None if seated < 0 else seated

    async def seated(self, caller: str) -> dict[UUID, float]:
        """Who is in, and for how many seconds."""
        async with self._asking():
            seconds, _ = await self._redis.time()
            found = dict(await self._redis.zrange(_seats(caller), 0, -1, withscores=True))
            ids = {raw: _id(raw) for raw in found}
            if strangers := [raw for raw, id in ids.items() if id is None]:
                await self._redis.zrem(_seats(caller), *strangers)
        return {id: seconds - found[raw] / 1000 for raw, id in ids.items() if id is not None}

    async def reseat(self, caller: str, *, stay: Collection[UUID], leave: Collection[UUID]) -> None:
        async with self._asking(), self._redis.pipeline(transaction=False) as pipe:
            if leave:
                pipe.zrem(_seats(caller), *map(str, leave))
            if stay:
                now_ms = round(time.time() * 1000)
                pipe.zadd(_seats(caller), {str(each): now_ms for each in stay}, nx=True)
            await pipe.execute()

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """While Redis is away one call in `_AWAY_S` waits for it, and the others go without."""
        now = time.monotonic()
        if now < self._away_until:
            raise LimitsAway("Redis was away a moment ago.")
        if self._away_until:
            self._away_until = now + _AWAY_S
        try:
            with mapped_errors():
                yield
        except Unavailable as error:
            self._away_until = time.monotonic() + _AWAY_S
            emit("limits.away", logging.WARNING, error=str(error))
            raise LimitsAway(str(error)) from error
        self._away_until = 0.0


def _seats(caller: str) -> str:
    return f"jobrunner:seats:{caller}"


def _id(raw: bytes) -> UUID | None:
    """None for what somebody else wrote."""
    try:
        return UUID(raw.decode(errors="replace"))
    except ValueError:
        return None
