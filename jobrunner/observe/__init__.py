"""How a process is watched: its log, its watchdog; metrics and probes for whoever asks. And when its garbage goes."""

from jobrunner.observe.garbage import collect_rarely
from jobrunner.observe.logs import observing
from jobrunner.observe.watchdog import watched

__all__ = ["collect_rarely", "observing", "watched"]
