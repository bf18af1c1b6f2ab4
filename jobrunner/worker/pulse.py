"""A worker as its probes and figures see it at one moment, and what they make of it."""

from dataclasses import dataclass

from jobrunner.observe.probes import Check, Checks

STALE_S = 60.0
"""A claim loop that does not come round for so long, while Postgres answers, is broken."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """`silent_s`: for how long the claim loop has not come round; 0 where it need not, for want of a slot or a lease.

    `lease_age_s` is counted from its last renewal; `steady_s`: for how long it lasts without a gap, 0 if it ran out.
    """

    started: bool
    leaving: bool
    silent_s: float
    lease_s: float
    lease_age_s: float
    steady_s: float
    redis_away: bool
    in_flight: int
    stuck: int
    slots: int

    def live(self) -> Checks:
        """Red where only a restart helps: if the lease had a gap meanwhile, the claim loop may wait for Postgres."""
        if min(self.silent_s, self.steady_s) > max(STALE_S, self.lease_s):
            detail = f"the claim loop has not come round for {self.silent_s:.0f} s; restart the worker"
            return {"claims": Check(ok=False, detail=detail)}
        return {"claims": Check(ok=True, detail=f"{self.in_flight} of {self.slots} slots taken, {self.stuck} stuck")}

    def ready(self) -> Checks:
        """Red where it takes no jobs, or not as it should."""
        worker = {"worker": Check(ok=False, detail="is leaving")} if self.leaving else self.begun()
        return {**worker, **self.live(), "lease": self._lease(), "redis": self._redis()}

    def begun(self) -> Checks:
        """Red until it claims for the first time."""
        return {"worker": Check(ok=self.started, detail="claims jobs" if self.started else "has not begun to claim")}

    def _lease(self) -> Check:
        renewed = f"renewed {self.lease_age_s:.1f} s ago"
        if self.steady_s:
            return Check(ok=True, detail=renewed)
        return Check(ok=False, detail=f"ran out, {renewed}: does Postgres answer? Nothing is begun before it does")

    def _redis(self) -> Check:
        if self.redis_away:
            return Check(ok=False, detail="does not answer; jobs are claimed straight from Postgres")
        return Check(ok=True, detail="answers")
