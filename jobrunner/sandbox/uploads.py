"""Files that clients sent ahead of the request that names them."""

import base64
import binascii
import hashlib
import re
import secrets
import sqlite3
from dataclasses import astuple, dataclass
from typing import Any, Final

from jobrunner.sandbox.replicate.prediction import iso

DAY_S: Final = 86_400
_PLACE: Final = re.compile(r"/(?:fal/cdn/files|sync/uploads|replicate/v1/files)/([0-9a-f]+)(?:/|$)")
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


def newest_first(db: sqlite3.Connection) -> list[Upload]:
    rows = db.execute("SELECT id, name, mime, content, created_at FROM uploads ORDER BY rowid DESC")
    return [Upload(*row) for row in rows]


def delete(db: sqlite3.Connection, id: str) -> None:
    db.execute("DELETE FROM uploads WHERE id = ?", (id,))


def content_at(db: sqlite3.Connection, url: str) -> bytes:
    """What a data: URI holds, or was uploaded here; nothing for any other URL: the sandbox goes nowhere."""
    named = None if url.startswith("data:") else _PLACE.search(url)
    upload = get(db, named[1]) if named else None
    return inlined(url) if upload is None else upload.content


def inlined(url: str) -> bytes:
    """What a data: URI holds; nothing for any other URL."""
    header, _, data = url.partition(";base64,")
    try:
        return base64.b64decode(data, validate=True) if header.startswith("data:") else b""
    except binascii.Error:
        return b""


def shown(upload: Upload, origin: str) -> dict[str, Any]:
    """As Replicate's files API shows it; it is said to expire after a day, but is kept."""
    sha256 = hashlib.sha256(upload.content).hexdigest()
    return {
        "id": upload.id,
        "name": upload.name,
        "content_type": upload.mime,
        "size": len(upload.content),
        "etag": sha256,
        "checksums": {"sha256": sha256},
        "metadata": {},
        "created_at": iso(upload.created_at),
        "expires_at": iso(upload.created_at + DAY_S),
        "urls": {"get": f"{origin}/replicate/v1/files/{upload.id}"},
    }
