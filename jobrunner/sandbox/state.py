"""What the providers of one sandbox share: the database, the faults, the studios, webhooks and the clock's speed."""

import contextlib
import functools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from jobrunner.sandbox import ledger, takes, uploads, webhooks
from jobrunner.sandbox.artists import speeches
from jobrunner.sandbox.artists.clips import Clips
from jobrunner.sandbox.artists.lips import Lips
from jobrunner.sandbox.artists.recorder import Recorder
from jobrunner.sandbox.artists.studio import Studio
from jobrunner.sandbox.eth import journal
from jobrunner.sandbox.faults import Faults
from jobrunner.sandbox.openai import response
from jobrunner.sandbox.pinata import pins
from jobrunner.sandbox.replicate import prediction
from jobrunner.sandbox.webhooks import Webhooks


@dataclass(frozen=True)
class State:
    """`speed` divides every made-up duration: at 10 a picture takes a tenth of its usual time."""

    data_dir: Path
    db: sqlite3.Connection
    clips: Clips
    lips: Lips
    webhooks: Webhooks
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
        await self.lips.aclose()
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
    tables = (ledger.SCHEMA, prediction.SCHEMA, response.SCHEMA, speeches.SCHEMA, takes.SCHEMA, uploads.SCHEMA)
    for schema in (*tables, pins.SCHEMA, *webhooks.SCHEMAS, *journal.SCHEMAS):
        db.execute(schema)
    studio = Studio()
    clips, lips = Clips(data_dir / "clips", studio), Lips(data_dir / "lips")
    recorder = Recorder(functools.partial(speeches.note, db))
    return State(data_dir, db, clips, lips, Webhooks(db, speed), speed, studio=studio, recorder=recorder)
