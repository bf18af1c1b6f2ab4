"""Files that clients sent ahead of the request that names them."""

import hashlib
import secrets
import sqlite3
from dataclasses import astuple, dataclass
from typing import Any, Final

from jobrunner.sandbox.prediction import iso

DAY_S: Final = 86_400
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, mime TEXT NOT NULL, content BLOB NOT NULL, created_at REAL NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Upload:
    """`created_at` is unix seconds."""

    id: str
    name: str
    mime: str
    content: bytes
    created_at: float


def new_id() -> str:
    return secrets.token_hex(16)


def insert(db: sqlite3.Connection, upload: Upload) -> None:
    db.execute("INSERT INTO uploads (id, name, mime, content, created_at) VALUES (?, ?, ?, ?, ?)", astuple(upload))


def get(db: sqlite3.Connection, id: str) -> Upload | None:
    row = db.execute("SELECT id, name, mime, content, created_at FROM uploads WHERE id = ?", (id,)).fetchone()
    return None if row is None else Upload(*row)


def shown(upload: Upload, origin: str) -> dict[str, Any]:
    """As Replicate's files API shows it; it is said to expire after a day, but is kept."""
    return {
        "id": upload.id,
        "name": upload.name,
        "content_type": upload.mime,
        "size": len(upload.content),
        "checksums": {"sha256": hashlib.sha256(upload.content).hexdigest()},
        "metadata": {},
        "created_at": iso(upload.created_at),
        "expires_at": iso(upload.created_at + DAY_S),
        "urls": {"get": f"{origin}/replicate/v1/files/{upload.id}"},
    }
