"""An artifact's file, written where a caller wants it: whole and with the right hash, or not at all."""

import asyncio
import hashlib
from collections.abc import AsyncIterable
from pathlib import Path
from uuid import uuid4

from jobrunner import shown
from jobrunner.errors import PermanentError

BLOCK_BYTES = 1 << 20


async def write_checked(blocks: AsyncIterable[bytes], artifact: shown.Artifact, into: Path) -> None:
    """Raises OSError, PermanentError `artifact_damaged`, and whatever `blocks` raises; nothing is left behind then."""
    part = into.with_name(f".{into.name}.{uuid4().hex}.part")
    digest, size = hashlib.sha256(), 0
    try:
        with await asyncio.to_thread(part.open, "xb") as file:
            async for block in blocks:
                size += len(block)
                if size > artifact.size_bytes:
                    raise _damaged(artifact, "is longer than it should be")
                digest.update(block)
                await asyncio.to_thread(file.write, block)
        if digest.hexdigest() != artifact.sha256:
            raise _damaged(artifact, "is cut short" if size < artifact.size_bytes else "has another hash")
        await asyncio.to_thread(part.replace, into)
    finally:
        part.unlink(missing_ok=True)  # also when cancelled, so nothing may await here


def _damaged(artifact: shown.Artifact, how: str) -> PermanentError:
    return PermanentError(
        f"The file of artifact {artifact.id} {how}: {artifact.size_bytes:,} bytes with sha256 {artifact.sha256} were "
        "kept. Download it again; if it stays so, the artifact store is damaged, and a retry of its job makes it anew.",
        code="artifact_damaged",
    )
