"""How a process is watched: its log, its watchdog; metrics and probes for whoever asks."""

from jobrunner.observe.logs import observing
from jobrunner.observe.watchdog import watched

__all__ = ["observing", "watched"]
