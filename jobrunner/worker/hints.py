"""Wakes those who poll for a job when its provider has called: a hint to look now, and never the truth."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID


class Hint:
    def __init__(self) -> None:
        self._came = asyncio.Event()

    def give(self) -> None:
        self._came.set()

    async def within(self, seconds: float) -> bool:
        """Wait that long, or until a hint comes; one that came since the last time counts."""
        try:
            async with asyncio.timeout(seconds):
                await self._came.wait()
        except TimeoutError:
            return False
        self._came.clear()
        return True


class Hints:
    def __init__(self) -> None:
        self._awaited: dict[UUID, set[Hint]] = {}

    def heard(self, ids: Sequence[UUID]) -> None:
        for each in ids:
            for hint in self._awaited.get(each, ()):
                hint.give()

    @contextmanager
    def of(self, job_id: UUID) -> Iterator[Hint]:
        """What to wait for while the block runs: hints about this job."""
        hint, waiting = Hint(), self._awaited.setdefault(job_id, set())
        waiting.add(hint)
        try:
            yield hint
        finally:
            waiting.discard(hint)
            if not waiting:
                self._awaited.pop(job_id, None)
