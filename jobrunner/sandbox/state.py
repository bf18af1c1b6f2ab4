"""What the providers of one sandbox share: the database, the faults, the studios and the clock's speed."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from jobrunner.sandbox import ledger, prediction, response, takes, uploads
from jobrunner.sandbox.clips import Clips
from jobrunner.sandbox.faults import Faults
from jobrunner.sandbox.recorder import Recorder
from jobrunner.sandbox.studio import Studio


@dataclass(frozen=True)
class State:
    """`speed` divides every made-up duration: at 10 a picture takes a tenth of its usual time."""

    db: sqlite3.Connection
    clips: Clips
    speed: float = 1.0
    faults: Faults = field(default_factory=Faults)
    studio: Studio = field(default_factory=Studio)
    recorder: Recorder = field(default_factory=Recorder)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    async def aclose(self) -> None:
        await self.clips.aclose()
        await self.studio.aclose()
        await self.recorder.aclose()
        self.db.close()


def open_state(data_dir: Path, *, speed: float) -> State:
    """Statements run on the event loop: each is tens of microseconds, less than handing it to a thread costs.

    What a killed process has committed is in the kernel and stays; only a power cut could take it back.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(data_dir / ledger.DATABASE, isolation_level=None, timeout=5)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    for schema in (ledger.SCHEMA, prediction.SCHEMA, response.SCHEMA, takes.SCHEMA, uploads.SCHEMA):
        db.execute(schema)
    studio = Studio()
    return State(db, Clips(data_dir / "clips", studio), speed, studio=studio)
