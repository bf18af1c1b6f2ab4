"""The worker. `arq jobrunner.worker.WorkerSettings` and `jobrunner worker` are the same thing.

Importing this reads no settings and patches nothing; asking for WorkerSettings does both.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "WorkerSettings":
        raise AttributeError(f"module 'jobrunner.worker' has no attribute {name!r}")
    from jobrunner.worker.arq_worker import worker_settings  # noqa: PLC0415  # see above

    return worker_settings()
