"""What is said when in the files that this sandbox spoke, found again by the file itself, wherever it went."""

import hashlib
import sqlite3
from collections.abc import Sequence
from typing import Final

import orjson

from jobrunner.sandbox.artists.voice import Moment

SCHEMA: Final = "CREATE TABLE IF NOT EXISTS speeches (sha256 TEXT PRIMARY KEY, phonemes TEXT NOT NULL)"


def note(db: sqlite3.Connection, file: bytes, phonemes: Sequence[Moment]) -> None:
    times = orjson.dumps([[moment.start_s, moment.said] for moment in phonemes]).decode()
    db.execute("INSERT OR IGNORE INTO speeches (sha256, phonemes) VALUES (?, ?)", (_name(file), times))


def phonemes(db: sqlite3.Connection, file: bytes) -> tuple[Moment, ...]:
    """Nothing, if the file is not one of ours as it was delivered."""
    row = db.execute("SELECT phonemes FROM speeches WHERE sha256 = ?", (_name(file),)).fetchone()
    return () if row is None else tuple(Moment(*moment) for moment in orjson.loads(row[0]))


def _name(file: bytes) -> str:
    return hashlib.sha256(file).hexdigest()
