"""What tasks show of their work so far: the last picture of each before a round is the one that people see."""

import asyncio
import hashlib
import io
from pathlib import Path
from uuid import UUID

from jobrunner.broker import previews
from jobrunner.broker.changes import Changes, previewed
from jobrunner.broker.previews import MOST_BYTES, TYPES
from jobrunner.errors import PermanentError, Unavailable
from jobrunner.media.pictures import ImageInfo, picture
from jobrunner.worker.journal import Journal, Log
from jobrunner.worker.lease import Lease
from jobrunner.worker.service import OnDemand

MOST_PIXELS = 1024
"""Of a side."""


class Previews(OnDemand):
    """A service. It works while the lease lasts: another worker may show the job's pictures after that."""

    name = "previews"
    every_s = 0.5

    def __init__(self, shelf: previews.Previews, lease: Lease, changes: Changes, journal: Journal) -> None:
        super().__init__()
        self._shelf = shelf
        self._lease = lease
        self._changes = changes
        self._journal = journal
        self._waiting: dict[Log, bytes | Path] = {}
        self._live: set[Log] = set()
        self._over: set[UUID] = set()

    def show(self, log: Log, image: bytes | Path) -> None:
        """`log` is of the attempt that shows it; it hears of a picture that cannot be shown."""
        self._waiting[log] = image
        self._live.add(log)
        self.came()

    def end(self, log: Log) -> None:
        """Its attempt ends, and what it showed goes."""
        if log in self._live:
            self._live.discard(log)
            self._over.add(log.job.id)
            self.came()

    @property
    def waits(self) -> bool:
        return bool(self._waiting or self._over)

    async def run_once(self) -> None:
        if not self._lease.lasts:
            return
        waiting, self._waiting = self._waiting, {}
        over, self._over = self._over, set()
        try:
            if over:
                await self._shelf.drop(over)
            for log, image in waiting.items():
                if log in self._live:
                    await self._put(log, image)
        except Unavailable:
            self._waiting = waiting | self._waiting
            self._over |= over
            raise

    async def _put(self, log: Log, image: bytes | Path) -> None:
        try:
            data, info = await asyncio.to_thread(_read, image) if isinstance(image, Path) else _checked(image)
        except (PermanentError, OSError) as error:
            self._journal.say(log, f"A preview cannot be shown: {error}", "warning")
            return
        await self._shelf.put(log.job.id, data)
        url = f"/v1/jobs/{log.job.id}/preview?version={hashlib.sha256(data).hexdigest()[:16]}"
        what = {"url": url, "mime": info.mime, "size_bytes": len(data), "width": info.width, "height": info.height}
        self._changes.tell([previewed(log.job, what)])


def _read(path: Path) -> tuple[bytes, ImageInfo]:
    with path.open("rb") as file:
        return _checked(file.read(MOST_BYTES + 1))


def _checked(data: bytes) -> tuple[bytes, ImageInfo]:
    """Raises PermanentError."""
    if len(data) > MOST_BYTES:
        raise _invalid(f"is larger than {MOST_BYTES:,} bytes")
    info = picture(io.BytesIO(data))
    if info.mime not in TYPES:
        raise _invalid(f"is {info.mime}, none of {', '.join(TYPES)}")
    if max(info.width, info.height) > MOST_PIXELS:
        raise _invalid(f"is {info.width} x {info.height} pixels; {MOST_PIXELS:,} a side are the most")
    return data, info


def _invalid(what: str) -> PermanentError:
    return PermanentError(f"The picture {what}.", code="media_invalid")
