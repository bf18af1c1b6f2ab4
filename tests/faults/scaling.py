"""jobrunner's waits scaled to a test's patience: in this process, and in those that it starts.

A process whose PYTHONPATH begins with `site` is scaled when Python starts it (`site/sitecustomize.py`), wards included;
CLOCK_OFF_S in its environment gives it a clock that is wrong by so many seconds.
"""

import importlib
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

CLOCK_OFF_S = "CLOCK_OFF_S"

PYTHONPATH = os.pathsep.join(str(path) for path in (Path(__file__).with_name("site"), Path(__file__).parents[2]))
"""What the processes need that a test starts."""

SCALED = {
    "jobrunner.client.waiting._WATCH_S": 0.05,
    "jobrunner.store.database._SILENCE_S": 2.0,
    "jobrunner.worker.claims._AWAY_GRACE_S": 0.2,
    "jobrunner.worker.claims.BACKOFF_S": 0.1,
    "jobrunner.worker.loop.IDLE_S": 1.0,
    "jobrunner.worker.purchase._SETTLE_S": 1.0,
    "jobrunner.worker.upkeep._SETTLED_S": 0.2,
}
"""Waits that no setting names, in seconds."""


def scale(put: Callable[[str, float], object]) -> None:
    """Call `put` for each."""
    for name, seconds in SCALED.items():
        put(name, seconds)


def apply() -> None:
    """For good, in a process of its own."""
    scale(_put)
    if CLOCK_OFF_S in os.environ:
        _set_clock(float(os.environ[CLOCK_OFF_S]))


def _put(name: str, seconds: float) -> None:
    module, _, attribute = name.rpartition(".")
    where = importlib.import_module(module)
    assert hasattr(where, attribute), name
    setattr(where, attribute, seconds)


def _set_clock(off_s: float) -> None:
    """Wrong for all of jobrunner in this process; the monotonic clock goes on as it does."""
    right = time.time

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # no Wrong leaves this class
            return datetime.now(tz) + timedelta(seconds=off_s)

    time.time = lambda: right() + off_s
    for name, module in list(sys.modules.items()):
        if name.startswith("jobrunner.") and getattr(module, "datetime", None) is datetime:
            vars(module)["datetime"] = Wrong
