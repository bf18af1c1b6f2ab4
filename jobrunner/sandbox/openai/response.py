"""A response as OpenAI keeps it. Its status is a pure function of its row and the time, so it survives kills."""

import math
import sqlite3
from dataclasses import astuple, dataclass, fields
from typing import Any, Final

import orjson

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS responses (
    id TEXT PRIMARY KEY, body TEXT NOT NULL, fate TEXT NOT NULL, created_at REAL NOT NULL, start_s REAL NOT NULL,
    run_s REAL NOT NULL, cancelled_at REAL, gone_at REAL
)
"""


@dataclass(frozen=True, slots=True)
class Response:
    """`fate` is the fault word of its input. Times are unix seconds; `body` is the request's JSON text."""

    id: str
    body: str
    fate: str
    created_at: float
    start_s: float
    run_s: float
    cancelled_at: float | None = None
    gone_at: float | None = None

    @property
    def asked(self) -> dict[str, Any]:
        return dict(orjson.loads(self.body))

    @property
    def ends_at(self) -> float:
        own = math.inf if self.fate == "hang" else self.created_at + self.start_s + self.run_s
        return min(own, self.cancelled_at or math.inf)

    def status(self, now: float) -> str:
        """All but `incomplete`, which the answer's length decides."""
        if now < self.ends_at:
            return "queued" if now < self.created_at + self.start_s else "in_progress"
        if self.cancelled_at is not None:
            return "cancelled"
        return "failed" if self.fate in ("fail", "moderation") else "completed"


_COLUMNS: Final = ", ".join(field.name for field in fields(Response))
_PLACES: Final = ", ".join("?" for _ in fields(Response))


def insert(db: sqlite3.Connection, response: Response) -> None:
    db.execute(f"INSERT INTO responses ({_COLUMNS}) VALUES ({_PLACES})", astuple(response))


def get(db: sqlite3.Connection, id: str) -> Response | None:
    """The one that is not deleted."""
    row = db.execute(f"SELECT {_COLUMNS} FROM responses WHERE id = ? AND gone_at IS NULL", (id,)).fetchone()
    return None if row is None else Response(*row)


def cancel(db: sqlite3.Connection, id: str, now: float) -> None:
    db.execute("UPDATE responses SET cancelled_at = coalesce(cancelled_at, ?) WHERE id = ?", (now, id))


def remove(db: sqlite3.Connection, id: str, now: float) -> None:
    db.execute("UPDATE responses SET gone_at = coalesce(gone_at, ?) WHERE id = ?", (now, id))
