"""Files that were pinned: rows for what is said about them, and their bytes on disk under the name of their content."""

import sqlite3
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Final

import orjson

from jobrunner.sandbox.pinata.cid import CHUNK_BYTES
from jobrunner.sandbox.replicate.prediction import iso

DIRECTORY: Final = "pins"
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS pins (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, cid TEXT NOT NULL, network TEXT NOT NULL, name TEXT NOT NULL,
    mime TEXT NOT NULL, size_bytes INTEGER NOT NULL, keyvalues TEXT NOT NULL, group_id TEXT, created_at REAL NOT NULL,
    fate TEXT NOT NULL, UNIQUE (cid, network)
)
"""


@dataclass(frozen=True, slots=True)
class Pin:
    """`keyvalues` is JSON text, `fate` the fault word of its name, `created_at` unix seconds."""

    id: str
    cid: str
    network: str
    name: str
    mime: str
    size_bytes: int
    keyvalues: str
    group_id: str | None
    created_at: float
    fate: str

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "cid": self.cid,
            "network": self.network,
            "name": self.name,
            "size": self.size_bytes,
            "number_of_files": 1,
            "mime_type": self.mime,
            "keyvalues": orjson.loads(self.keyvalues),
            "group_id": self.group_id,
            "created_at": iso(self.created_at),
        }


COLUMNS: Final = ", ".join(field.name for field in fields(Pin))
PLACES: Final = ", ".join("?" for _ in fields(Pin))


def insert(db: sqlite3.Connection, pin: Pin) -> None:
    db.execute(f"INSERT INTO pins ({COLUMNS}) VALUES ({PLACES})", astuple(pin))


def get(db: sqlite3.Connection, network: str, id: str) -> Pin | None:
    row = db.execute(f"SELECT {COLUMNS} FROM pins WHERE network = ? AND id = ?", (network, id)).fetchone()
    return None if row is None else Pin(*row)


def page(db: sqlite3.Connection, network: str, *, cid: str | None = None, limit: int = 1, offset: int = 0) -> list[Pin]:
    """Newest first; of one `cid` there is at most one."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM pins WHERE network = ?1 AND (?2 IS NULL OR cid = ?2)"
        " ORDER BY seq DESC LIMIT ?3 OFFSET ?4",
        (network, cid, limit, offset),
    )
    return [Pin(*row) for row in rows]


def delete(db: sqlite3.Connection, pin: Pin) -> bool:
    """Whether nobody needs its bytes any more."""
    db.execute("DELETE FROM pins WHERE id = ?", (pin.id,))
    return db.execute("SELECT 1 FROM pins WHERE cid = ?", (pin.cid,)).fetchone() is None


def chunks(file: Path) -> Iterator[bytes]:
    """As `cid` wants them."""
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            yield chunk
