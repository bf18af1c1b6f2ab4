"""What every attempt in a worker shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from jobrunner.batch import Batcher
from jobrunner.job import Job
from jobrunner.net import Net
from jobrunner.providers.driver import Driver
from jobrunner.store import keeping
from jobrunner.store.artifacts import FileArtifacts
from jobrunner.store.postgres import Store
from jobrunner.store.rows import ProgressNote, StepWrite
from jobrunner.work import Artifact, Kind
from jobrunner.worker.lease import Lease


@dataclass(frozen=True, slots=True)
class Tools:
    store: Store
    lease: Lease
    artifacts: FileArtifacts
    drivers: Mapping[str, Driver]
    routes: Mapping[str, tuple[str, ...]]
    spool: Path
    net: Net
    steps: Batcher[StepWrite, bool]
    progress: dict[UUID, ProgressNote] = field(default_factory=dict)

    async def keep(self, path: Path, job: Job, kind: Kind | None) -> Artifact:
        """Take a job's file into our keeping. Raises PermanentError `media_invalid`: broken, or of another kind."""
        return await keeping.keep(path, self.artifacts, kind=kind, job_id=job.id, user_id=job.user_id)

    def spool_of(self, job_id: UUID) -> Path:
        """Where a job's files lie while it runs; emptied when its attempt ends."""
        directory = self.spool / str(job_id)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return directory
