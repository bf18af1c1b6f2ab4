"""What the sandbox has sold: one row for every billable create that it accepted, written before the answer.

This is how a test counts purchases: two rows with the same `body_sha256` are one thing bought twice.
"""

import hashlib
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

DATABASE: Final = "sandbox.sqlite3"
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS purchases (
    seq INTEGER PRIMARY KEY, provider TEXT NOT NULL, id TEXT NOT NULL, body_sha256 TEXT NOT NULL,
    prompt TEXT NOT NULL, created_at REAL NOT NULL, price_usd REAL NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Purchase:
    """`id` is the provider's prediction or request id; `created_at` is unix seconds."""

    provider: str
    id: str
    body_sha256: str
    prompt: str
    created_at: float
    price_usd: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def body_sha256(body: Mapping[str, Any]) -> str:
    """Over sorted keys, so that the same order from two clients is the same order."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def sha256(file: bytes) -> str:
    """What stands for a file in the body of an order."""
    return hashlib.sha256(file).hexdigest()


def record(db: sqlite3.Connection, purchase: Purchase) -> None:
    db.execute(
        "INSERT INTO purchases (provider, id, body_sha256, prompt, created_at, price_usd)"
        " VALUES (:provider, :id, :body_sha256, :prompt, :created_at, :price_usd)",
        purchase.to_json(),
    )


def is_sold(db: sqlite3.Connection, provider: str, id: str) -> bool:
    """For what clients may send again under its own name."""
    wanted = "SELECT 1 FROM purchases WHERE provider = ? AND id = ?"
    return db.execute(wanted, (provider, id)).fetchone() is not None


def select(db: sqlite3.Connection, provider: str | None = None) -> list[Purchase]:
    rows = db.execute(
        "SELECT provider, id, body_sha256, prompt, created_at, price_usd FROM purchases"
        " WHERE ?1 IS NULL OR provider = ?1 ORDER BY seq",
        (provider,),
    )
    return [Purchase(*row) for row in rows]


def read(data_dir: Path, provider: str | None = None) -> list[Purchase]:
    """Every purchase so far, oldest first, from the file: works beside a running sandbox and after a killed one."""
    with closing(sqlite3.connect(data_dir / DATABASE)) as db:
        return select(db, provider)
