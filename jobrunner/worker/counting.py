"""Counts what ends in this process, by the minute: a listener of events, and the service that writes it down."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from time import monotonic
from typing import Any

from uuid_utils.compat import uuid7

from jobrunner.errors import SubmitUnknown, Unavailable
from jobrunner.events import Event
from jobrunner.job import Status
from jobrunner.store.minutes import Kind, Minutes, Tally, Written
from jobrunner.worker.lease import Lease

_HELD = 2000
"""How many tallies wait while Postgres is away; the oldest go."""

Fields = Mapping[str, Any]


class Counting:
    """`heard` is the listener. Between two heartbeats in which nothing ended, nothing is written."""

    name = "counting"

    def __init__(self, minutes: Minutes, lease: Lease) -> None:
        self._minutes = minutes
        self._now = lease.now
        self.every_s = lease.lease_s / 3
        self._process = uuid7()  # not the worker: one that was declared dead goes on counting under another id
        self._minute = self._now()
        self._over = 0.0
        self._tallies: dict[tuple[Kind, str], Tally] = {}
        self._saving = asyncio.Lock()
        self._changed: dict[tuple[datetime, Kind, str], Tally] = {}
        self._listening: Mapping[str, Callable[[Fields], None]] = {
            "job.ended": self._job,
            "job.rescued": self._rescued_job,
            "provider.answered": self._answer,
            "purchase.failed": self._failure,
            "purchase.delivered": self._delivery,
        }

    def heard(self, event: Event) -> None:
        if (count := self._listening.get(event.name)) is not None:
            count(event.fields)

    async def run_once(self) -> None:
        """Write down what has changed. Raises Unavailable; then the next round writes it."""
        async with self._saving:  # or what is older by now could be written last
            changed, self._changed = self._changed, {}
            try:
                if changed:
                    await self._minutes.save(self._process, [Written(*key, tally) for key, tally in changed.items()])
            except Unavailable:
                self._changed = {**changed, **self._changed}
                for key in list(self._changed)[:-_HELD]:
                    del self._changed[key]
                raise

    def _job(self, fields: Fields) -> None:
        status, tally = fields["status"], self._of("task", fields["task"])
        tally.counts[status.value] += 1
        if status is Status.COMPLETED:  # one that fails at once says nothing of how long the work takes
            tally.took(fields["run_s"])
        elif fields.get("error") == SubmitUnknown.code:
            tally.counts["unknown"] += 1

    def _rescued_job(self, fields: Fields) -> None:
        if fields["status"].terminal:
            self._job(fields)

    def _answer(self, fields: Fields) -> None:
        """A call is a piece of work that is asked for; asking how it goes is none, but may be limited as well."""
        outcome, submits = fields["outcome"], fields["verb"] == "submit"
        if not submits and outcome != "limited":
            return
        counts = self._of("provider", fields["provider"]).counts
        if submits:
            counts["calls"] += 1
        if outcome == "limited":
            counts["limited"] += 1
        elif outcome != "ok":
            counts["errors"] += 1

    def _failure(self, fields: Fields) -> None:
        self._of("provider", fields["provider"]).counts["errors"] += 1

    def _delivery(self, fields: Fields) -> None:
        tally = self._of("provider", fields["provider"])
        tally.took(fields["took_s"])
        if "amount" in fields:
            tally.paid(Decimal(fields["amount"]), fields["unit"])

    def _of(self, kind: Kind, name: str) -> Tally:
        """The tally of the minute that it is, to be changed now."""
        if monotonic() >= self._over:
            self._begin_minute()
        tally = self._tallies.get((kind, name))
        if tally is None:
            tally = self._tallies[kind, name] = Tally()
        self._changed[self._minute, kind, name] = tally
        return tally

    def _begin_minute(self) -> None:
        now = self._now()
        self._minute = now.replace(second=0, microsecond=0)
        self._over = monotonic() + (self._minute + timedelta(minutes=1) - now).total_seconds()
        self._tallies = {}
