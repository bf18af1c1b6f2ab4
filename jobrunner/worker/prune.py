"""Takes out rows whose time is over (`[retention]`), then the files that they named."""

from jobrunner.events import emit
from jobrunner.runtime import Runtime


class Prune:
    """A batch a round, one worker at a time."""

    name = "prune"
    every_s = 30.0

    def __init__(self, runtime: Runtime) -> None:
        self._retention = runtime.settings.retention
        self._pruning = runtime.store.pruning
        self._queue = runtime.queue
        self._artifacts = runtime.artifacts

    async def run_once(self) -> None:
        if not await self._queue.turn(self.name, self.every_s * 0.8):
            return
        jobs, keys = 0, list[str]()
        if self._retention.jobs_days is not None:
            jobs, keys = await self._pruning.jobs(self._retention.jobs_days)
        keys += await self._pruning.uploads(self._retention.uploads_days)
        await self._artifacts.delete(keys)
        lines = await self._pruning.logs(self._retention.logs_days)
        workers = await self._pruning.workers()
        minutes = await self._pruning.minutes()
        if jobs or keys or lines or workers or minutes:
            emit("pruned", jobs=jobs, files=len(keys), lines=lines, workers=workers, minutes=minutes)
