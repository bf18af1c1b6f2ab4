"""The gallery: the files that jobs made, the newest first."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from jobrunner.store.database import Database
from jobrunner.store.rows import artifact_of
from jobrunner.work import Artifact, Kind


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which files: those that fit all that is given. `after` is the (created_at, id) of the last one seen."""

    kind: Kind | None = None
    task: str | None = None
    user_id: str | None = None
    limit: int = 50
    after: tuple[datetime, UUID] | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A file, and the task of the job that made it."""

    artifact: Artifact
    task: str
    created_at: datetime


class Gallery:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def newest(self, wanted: Wanted) -> list[Made]:
        """Without uploads, and without the inputs that jobs fetched."""
        asked = (wanted.kind, wanted.task, wanted.user_id, *(wanted.after or (None, None)), wanted.limit)
        rows = await self._db.rows("newest_artifacts", *asked)
        return [Made(artifact_of(row), row["task"], row["created_at"]) for row in rows]
