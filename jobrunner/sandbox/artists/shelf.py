"""A shelf of files that take a while to make: each is made once for its order, and the newest are kept on disk."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

KEPT_FILES: Final = 256


class Shelf:
    """`directory` is made when it is first needed. At most as many files at a time are made as there are processors."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._makers = asyncio.Semaphore(os.cpu_count() or 1)
        self._making: dict[str, asyncio.Task[bytes]] = {}

    async def file(self, digest: str, make: Callable[[Path], Awaitable[None]]) -> bytes:
        """The file of the order `digest`; `make` writes it to the path it is given. Raises what `make` raises."""
        if digest not in self._making:
            task = self._making[digest] = asyncio.create_task(self._made(self._directory / digest, make))
            task.add_done_callback(lambda _: self._making.pop(digest, None))
        return await asyncio.shield(self._making[digest])

    async def aclose(self) -> None:
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _made(self, kept: Path, make: Callable[[Path], Awaitable[None]]) -> bytes:
        with contextlib.suppress(FileNotFoundError):
            return await asyncio.to_thread(kept.read_bytes)
        self._directory.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._directory, suffix=".part")
        os.close(handle)
        part = Path(name)
        try:
            async with self._makers:
                await make(part)
            return await asyncio.to_thread(_keep, part, kept)
        finally:
            part.unlink(missing_ok=True)  # noqa: ASYNC240  # also when cancelled, so nothing may await here


def _keep(part: Path, kept: Path) -> bytes:
    content = part.read_bytes()
    part.replace(kept)
    _prune(kept.parent)
    return content


def _prune(directory: Path) -> None:
    """Keep the newest few; a killed sandbox's unfinished ones go with the oldest."""
    with contextlib.suppress(FileNotFoundError):  # another order was quicker; the next one goes on
        files = sorted(directory.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files[KEPT_FILES:]:
            file.unlink()
