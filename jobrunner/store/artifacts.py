"""Where the files that jobs produce are kept: written whole, hashed and durable before any row names them."""

import asyncio
import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from jobrunner.errors import NotFound

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    size_bytes: int
    sha256: str


class FileArtifacts:
    """Files below one directory. Keys are made by us (`ab/<uuid>.png`), never by a caller."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, source: Path, key: str) -> Stored:
        """Move `source` in under `key`: temp file, fsync, rename, fsync of the directory."""
        return await asyncio.to_thread(self._put, source, key)

    def _put(self, source: Path, key: str) -> Stored:
        target = self._root / key
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        temporary = target.with_name(f".{target.name}.part")
        digest = hashlib.sha256()
        try:
            with source.open("rb") as reading, temporary.open("wb") as writing:
                while block := reading.read(_BLOCK):
                    digest.update(block)
                    writing.write(block)
                writing.flush()
                os.fsync(writing.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_directory(target.parent)
        return Stored(target.stat().st_size, digest.hexdigest())

    async def delete(self, keys: Collection[str]) -> None:
        """Forget these files, if they are there; no row may name them any more."""
        await asyncio.to_thread(self._delete, keys)

    def _delete(self, keys: Collection[str]) -> None:
        for key in keys:
            (self._root / key).unlink(missing_ok=True)

    async def older_than(self, moment: float, prefix: str) -> list[str]:
        """The keys in one directory (`ab`) of files, unfinished ones too, last written before this Unix time."""
        return await asyncio.to_thread(self._older_than, moment, self._root / prefix)

    def _older_than(self, moment: float, directory: Path) -> list[str]:
        if not directory.is_dir():
            return []
        with os.scandir(directory) as entries:
            old = [entry.name for entry in entries if entry.is_file() and entry.stat().st_mtime < moment]
        return [f"{directory.name}/{name}" for name in old]

    def path(self, key: str) -> Path:
        """The file behind `key`. Raises NotFound if it is gone."""
        found = self._root / key
        if not found.is_file() or found.is_symlink():
            raise NotFound("The artifact's file is gone from the store; retry its job to make it again.")
        return found


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
