"""Circuit breakers, one a provider in each worker: who is down is left alone, and asked again by one job at a time.

What one decides is pure:

    closed     everybody may call; FAILURES in a row open it
    open       nobody may, for a growing, jittered time
    half-open  one may: its answer closes the breaker, its failure opens it for longer
"""

import logging
import random
import time
from collections import defaultdict
from dataclasses import dataclass

from jobrunner.errors import AttemptError, PutOff, RateLimited, TransientError
from jobrunner.events import emit
from jobrunner.job import Backoff

FAILURES = 5
OPEN = Backoff(first_s=5.0, cap_s=60.0)
PROBE_S = 60.0
"""A probe that takes longer to answer does not keep the next one waiting."""


@dataclass(slots=True)
class Breaker:
    """`now` is a monotonic time in seconds, `jitter` a random number in [0, 1)."""

    _failures: int = 0
    _openings: int = 0
    _next_probe: float = 0.0
    _probing: bool = False

    def delay_s(self, now: float, jitter: float) -> float | None:
        """None: call now, and tell how it went. Otherwise ask again after so long, everyone at a time of their own."""
        if not self._openings:
            return None
        if now >= self._next_probe:
            self._probing, self._next_probe = True, now + PROBE_S
            return None
        wait_s = 0.0 if self._probing else self._next_probe - now
        return wait_s + OPEN.delay_s(self._openings, jitter)

    def answered(self) -> None:
        """The provider is there, whatever it said."""
        self._failures = self._openings = 0
        self._probing = False

    def failed(self, now: float, jitter: float) -> float | None:
        """For how long this opened it, if it did. The end of a call that began before it opened is no news."""
        self._failures += 1
        if self._failures < FAILURES or (self._openings and not self._probing):
            return None
        self._openings += 1
        self._probing = False
        open_s = OPEN.delay_s(self._openings, jitter)
        self._next_probe = now + open_s
        return open_s


class Breakers:
    def __init__(self) -> None:
        self._of: defaultdict[str, Breaker] = defaultdict(Breaker)

    def admit(self, provider: str) -> None:
        """Raises PutOff while the provider is left alone; whoever passes says how it went (`heard`)."""
        delay_s = self._of[provider].delay_s(time.monotonic(), random.random())  # noqa: S311  # spreads a crowd
        if delay_s is not None:
            raise PutOff(f"{provider} fails, and is left alone for a while.", delay_s=delay_s)

    def heard(self, provider: str, error: AttemptError | None = None) -> None:
        """A submit was answered, or bought nothing, or nobody knows what."""
        if isinstance(error, RateLimited) or not isinstance(error, TransientError):
            self._of[provider].answered()
            return
        open_s = self._of[provider].failed(time.monotonic(), random.random())  # noqa: S311
        if open_s is not None:
            emit("provider.left_alone", logging.WARNING, provider=provider, for_s=round(open_s, 1), error=str(error))
