"""What a worker says of itself with each heartbeat: its event loop, its memory, which providers refuse its work."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from jobrunner.events import Event
from jobrunner.job import RATE_LIMIT_PAUSE_S, RETRY_AFTER_CAP_S

LIMITED: Final = "limited"
LEFT_ALONE: Final = "left_alone"

_SETTLED = timedelta(seconds=10)
"""At a limit some pass and others do not: it is over when one passes so long after the last that did not."""

_UNASKED = timedelta(seconds=60)
"""Who is not asked for so long after it said it would answer is in no trouble that anyone knows of."""

Fields = Mapping[str, Any]

_STATM = Path("/proc/self/statm")


@dataclass(slots=True)
class Trouble:
    since: datetime
    last: datetime
    until: datetime


class Vitals:
    """`heard` is a listener of events, `now` Postgres' clock."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._late_s: float | None = None
        self._troubles: dict[tuple[str, str], Trouble] = {}
        self._listening: Mapping[str, Callable[[Fields], None]] = {
            "loop.beat": self._beat,
            "provider.left_alone": self._left_alone,
            "provider.answered": self._answered,
        }

    def heard(self, event: Event) -> None:
        if (note := self._listening.get(event.name)) is not None:
            note(event.fields)

    def stats(self) -> dict[str, Any]:
        """As the worker's row has them; the loop's lag is the longest since they were last asked for."""
        now, late_s = self._now(), self._late_s
        self._late_s = None
        providers: dict[str, Any] = {}
        for (provider, state), trouble in sorted(self._troubles.items()):  # who is left alone is also limited, then
            if trouble.until > now:
                providers.setdefault(provider, {"state": state, "since": trouble.since})
        lag_ms = None if late_s is None else round(late_s * 1000, 1)
        return {"loop_lag_ms": lag_ms, "memory_bytes": resident_bytes(), "providers": providers}

    def _beat(self, fields: Fields) -> None:
        self._late_s = max(self._late_s or 0.0, fields["late_s"])

    def _left_alone(self, fields: Fields) -> None:
        self._note(fields["provider"], LEFT_ALONE, fields["for_s"])

    def _answered(self, fields: Fields) -> None:
        """Who answers a submit is there, whatever it says."""
        provider, outcome = fields["provider"], fields["outcome"]
        if outcome == "limited":
            self._note(provider, LIMITED, fields["retry_after_s"])
        if self._troubles and fields["verb"] == "submit" and outcome != "failed":
            self._troubles.pop((provider, LEFT_ALONE), None)
            limited = self._troubles.get((provider, LIMITED))
            if limited is not None and self._now() - limited.last > _SETTLED:
                del self._troubles[provider, LIMITED]

    def _note(self, provider: str, state: str, wait_s: float | None) -> None:
        now = self._now()
        wait = timedelta(seconds=min(RATE_LIMIT_PAUSE_S if wait_s is None else wait_s, RETRY_AFTER_CAP_S))
        trouble = self._troubles.get((provider, state))
        if trouble is None or trouble.until <= now:
            trouble = self._troubles[provider, state] = Trouble(now, now, now)
        trouble.last = now
        trouble.until = max(trouble.until, now + wait + _UNASKED)


def resident_bytes() -> int | None:
    """How much memory this process holds; None where the system does not say (it is Linux' proc that does)."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
