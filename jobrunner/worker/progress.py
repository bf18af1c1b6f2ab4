"""How far tasks say that they are: the last word of each before a round is written, a thousand in one statement."""

from uuid import UUID

from jobrunner.broker.changes import Changes, progressed
from jobrunner.job import Job
from jobrunner.store.postgres import Store
from jobrunner.store.rows import ProgressNote, storable
from jobrunner.worker.lease import Lease
from jobrunner.worker.service import OnDemand


class Progress(OnDemand):
    """A service. It works while the lease lasts."""

    name = "progress"
    every_s = 0.5

    def __init__(self, store: Store, lease: Lease, changes: Changes) -> None:
        super().__init__()
        self._store = store
        self._lease = lease
        self._changes = changes
        self._said: dict[UUID, tuple[Job, ProgressNote]] = {}

    def say(self, job: Job, fraction: float, note: str) -> None:
        self._said[job.id] = job, ProgressNote(job.id, job.fence, fraction, note)
        self.came()

    def end(self, job: Job) -> None:
        """Its attempt ends: what was not written is old news."""
        self._said.pop(job.id, None)

    @property
    def waits(self) -> bool:
        return bool(self._said)

    async def run_once(self) -> None:
        if not self._said or not self._lease.lasts:
            return
        said, self._said = list(self._said.values()), {}
        await self._store.save_progress(self._lease.worker, [note for _, note in said])
        self._changes.tell(progressed(job, note.fraction, storable(note.note)) for job, note in said)
