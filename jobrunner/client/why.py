"""Why a job is not running, in words. Pure."""

from datetime import datetime, timedelta

from jobrunner.errors import RateLimited
from jobrunner.job import Job, Status
from jobrunner.store.crew import Circumstances

_MOMENTS = timedelta(seconds=5)
"""A due job that finds a free slot is taken in milliseconds; later than this, something is wrong."""


def why(job: Job, around: Circumstances) -> str | None:
    """Of a job that has not ended; None where it runs. Whoever sees the job may read it: it tells of no other's."""
    if job.status is Status.IN_PROGRESS:
        return _lost(around)
    if job.due_at > around.at and job.module:
        return _later(job, around.at)
    return _nobody(job, around) or _due(job, around)


def _lost(around: Circumstances) -> str | None:
    if around.held_until is None or around.held_until > around.at:
        return None
    said = f"The lease of its worker ended at {_when(around.held_until)}: it died, or lost Postgres."
    if around.alive:
        return f"{said} Another worker takes the job over, within a lease's time."
    return f"{said} No worker is alive to take the job over: start `jobrunner worker`."


def _later(job: Job, now: datetime) -> str:
    moment = f"at {_when(job.due_at)}, in {_length(job.due_at - now)}"
    if job.error is not None:
        message = str(job.error.get("message", "")).rstrip(".")
        ended = f"Its last attempt ended with {job.error.get('code')}: {message}."
        if job.error.get("code") == RateLimited.code:
            return f"{ended} It goes on {moment}; nothing is counted."
        return f"{ended} It runs again {moment}; it failed {job.failures} of the {job.retries + 1} times that it may."
    if job.fence:
        return (
            "It was put off: a server that it needs fails or is busy, and is left alone for a while. It is tried again "
            f"{moment}; nothing is counted."
        )
    return f"It was submitted to run {moment}."


def _nobody(job: Job, around: Circumstances) -> str | None:
    if not around.alive:
        return f"No worker is alive on its queue, {job.queue!r}: start `jobrunner worker`."
    if not around.able:
        return (
            f"No worker that is alive knows the task {job.task!r}: add its module to `task_modules` where the workers "
            "run, and restart them."
        )
    return None


def _due(job: Job, around: Circumstances) -> str:
    if not job.module:
        return "An application inserted it, and no worker has looked at it yet; they look every few seconds."
    if job.suspicion:
        return (
            "A worker died while it ran this job among others, so it goes on apart from them, in a ward with few "
            "slots, and waits for one of those."
        )
    if around.free <= 0:
        return "All workers that know its task are full; it is taken when a job ends, and those due earlier are."
    if around.at - job.due_at < _MOMENTS:
        return "It is due, and a worker takes it within moments."
    return (
        f"It is due since {_when(job.due_at)} and workers have free slots, but none has taken it: "
        "look at their logs, whether they reach Redis and Postgres, and at `jobrunner inspect`."
    )


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _length(time: timedelta) -> str:
    seconds = time.total_seconds()
    for unit, size_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{round(seconds / size_s)} {unit}"
    return f"{max(1, round(seconds))} s"
