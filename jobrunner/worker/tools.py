"""What every attempt in a worker shares."""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from jobrunner.batch import Batcher
from jobrunner.broker.changes import Changes
from jobrunner.job import Job
from jobrunner.net import Net
from jobrunner.providers.driver import Driver
from jobrunner.providers.hooks import Hooks
from jobrunner.runtime import Runtime
from jobrunner.store import keeping
from jobrunner.store.artifacts import FileArtifacts
from jobrunner.store.postgres import Store
from jobrunner.store.rows import StepWrite
from jobrunner.work import Artifact, Kind
from jobrunner.worker.breaker import Breakers
from jobrunner.worker.hints import Hints
from jobrunner.worker.journal import Journal
from jobrunner.worker.lease import Lease
from jobrunner.worker.listings import Listings
from jobrunner.worker.previews import Previews
from jobrunner.worker.progress import Progress
from jobrunner.worker.receivers import Receivers


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
    changes: Changes
    receivers: Receivers
    hooks: Hooks
    journal: Journal
    previews: Previews
    progress: Progress
    hints: Hints = field(default_factory=Hints)
    spooled: set[tuple[UUID, int]] = field(default_factory=set)
    breakers: Breakers = field(default_factory=Breakers)
    listings: Listings = field(default_factory=Listings)

    @classmethod
    def of(cls, runtime: Runtime, lease: Lease, steps: Batcher[StepWrite, bool]) -> "Tools":
        settings, notices = runtime.settings, runtime.notices
        journal = Journal(runtime.store.logs, notices.changes)
        return cls(
            store=runtime.store,
            lease=lease,
            artifacts=runtime.artifacts,
            drivers=runtime.drivers,
            routes=settings.routes,
            spool=settings.directory / "spool",
            net=runtime.net,
            steps=steps,
            changes=notices.changes,
            receivers=Receivers(runtime.net, settings.webhooks.secret, runtime.store.deliveries.disable),
            hooks=runtime.hooks,
            journal=journal,
            previews=Previews(notices.previews, lease, notices.changes, journal),
            progress=Progress(runtime.store, lease, notices.changes),
        )

    async def keep(self, path: Path, job: Job, kind: Kind | None) -> Artifact:
        """Take a job's file into our keeping. Raises PermanentError `media_invalid`: broken, or of another kind."""
        return await keeping.keep(path, self.artifacts, kind=kind, job_id=job.id, user_id=job.user_id)

    def spool_of(self, job: Job) -> Path:
        """Where this attempt's files lie while it runs; an attempt that ends late must not take its successor's."""
        self.spooled.add((job.id, job.fence))
        directory = self._spool_path(job)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return directory

    async def drop_spool(self, job: Job) -> None:
        if (job.id, job.fence) in self.spooled:  # most jobs spool nothing, and a thread costs more than they do
            self.spooled.remove((job.id, job.fence))
            await asyncio.to_thread(shutil.rmtree, self._spool_path(job), ignore_errors=True)

    def _spool_path(self, job: Job) -> Path:
        return self.spool / f"{job.id}.{job.fence}"
