"""Files that people send: from a spool into our keeping, with a row that says whose they are."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from jobrunner.client import Client
from jobrunner.errors import TransientError, Unavailable
from jobrunner.store.artifacts import FileArtifacts
from jobrunner.store.keeping import keep
from jobrunner.work import Artifact


@dataclass(frozen=True, slots=True)
class Uploads:
    """`spool` is a directory for files on their way in; it is made when it is needed."""

    client: Client
    files: FileArtifacts
    spool: Path

    @asynccontextmanager
    async def spooled(self) -> AsyncIterator[Path]:
        """A path to write the file to, private and gone after the block."""
        await asyncio.to_thread(self.spool.mkdir, parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix="upload-", dir=self.spool) as directory:
            yield Path(directory, "body")

    async def take(self, path: Path, *, user_id: str | None) -> Artifact:
        """Move the file in. Raises PermanentError (`media_invalid`, ...), Unavailable; nothing is kept then."""
        try:
            artifact = await keep(path, self.files, user_id=user_id)
        except TransientError as error:
            raise Unavailable(str(error)) from error
        try:
            await self.client.keep_upload(artifact)
        except BaseException:
            self.files.path(artifact.key).unlink()  # no row names it
            raise
        return artifact
