"""Takes a file into our keeping: told by its bytes, checked, moved into the artifact store, described."""

import asyncio
import mimetypes
from pathlib import Path
from uuid import UUID

from uuid_utils.compat import uuid7

from jobrunner.errors import PermanentError
from jobrunner.media.examining import inspected
from jobrunner.store.artifacts import FileArtifacts
from jobrunner.work import Artifact, Kind


async def keep(
    path: Path,
    files: FileArtifacts,
    *,
    kind: Kind | None = None,
    job_id: UUID | None = None,
    user_id: str | None = None,
) -> Artifact:
    """The artifact that `path` became; its row is the caller's to write.

    Raises PermanentError `media_invalid` for a file that is broken, or not of the `kind` that was asked for.
    """
    info = await inspected(path)
    if kind not in {None, info.kind}:
        raise PermanentError(f"The file is {info.mime}, where {kind} was expected.", code="media_invalid")
    artifact_id = uuid7()
    key = f"{artifact_id.hex[-2:]}/{artifact_id}{mimetypes.guess_extension(info.mime) or ''}"
    stored = await files.put(path, key)
    await asyncio.to_thread(path.unlink, missing_ok=True)
    return Artifact(
        id=artifact_id,
        job_id=job_id,
        kind=info.kind,
        mime=info.mime,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256,
        key=key,
        width=info.width,
        height=info.height,
        duration_s=info.duration_s,
        user_id=user_id,
    )
