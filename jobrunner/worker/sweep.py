"""Removes files that no row names: what is left of a process that died between a file and its row."""

import asyncio
import logging
import random
import shutil
import time
from pathlib import Path
from uuid import UUID

from jobrunner.events import emit
from jobrunner.runtime import Runtime

AGE_S = 86_400.0
"""Younger files may be on their way to their row."""

_MANY = 20


class Sweep:
    """A directory of the artifact store a round, by one worker at a time; and all of this machine's spool."""

    name = "sweep"
    every_s = 300.0

    def __init__(self, runtime: Runtime) -> None:
        self._pruning = runtime.store.pruning
        self._queue = runtime.queue
        self._artifacts = runtime.artifacts
        self._spool = runtime.settings.directory / "spool"

    async def run_once(self) -> None:
        await self._sweep_spool()
        if await self._queue.turn(self.name, self.every_s * 0.8):
            await self._sweep_artifacts(f"{random.randrange(256):02x}")  # noqa: S311  # any will do, all in time

    async def _sweep_artifacts(self, prefix: str) -> None:
        found = await self._artifacts.older_than(time.time() - AGE_S, prefix)
        ids = {key: _id(Path(key).name.removeprefix(".").partition(".")[0]) for key in found}
        known = await self._pruning.artifacts_known([each for each in ids.values() if each is not None])
        orphans = [
            key for key, each in ids.items() if each is not None and (each not in known or key.endswith(".part"))
        ]
        if len(orphans) > max(_MANY, len(known)):
            emit("sweep.refused", logging.ERROR, directory=prefix, orphans=len(orphans), known=len(known))
            return
        await self._artifacts.delete(orphans)
        if orphans:
            emit("sweep.removed", logging.WARNING, directory=prefix, files=len(orphans))

    async def _sweep_spool(self) -> None:
        old = await asyncio.to_thread(_older_than, time.time() - AGE_S, self._spool)
        ids = {path: _id(path.name.partition(".")[0]) for path in old}
        running = await self._pruning.in_progress([each for each in ids.values() if each is not None])
        for path, job_id in ids.items():
            if job_id not in running:
                await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)


def _older_than(moment: float, directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if path.stat().st_mtime < moment]
    except FileNotFoundError:  # nothing was spooled yet, or an attempt ended while we looked
        return []


def _id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None
