"""Takes a job's file into our keeping."""

from pathlib import Path

from jobrunner.job import Job
from jobrunner.store import keeping
from jobrunner.work import Artifact, Kind
from jobrunner.worker.tools import Tools


async def keep(path: Path, job: Job, kind: Kind, tools: Tools) -> Artifact:
    """Raises PermanentError `media_invalid` for a file that is broken, or not of that kind."""
    return await keeping.keep(path, tools.artifacts, kind=kind, job_id=job.id, user_id=job.user_id)
