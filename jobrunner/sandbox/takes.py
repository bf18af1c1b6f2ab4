"""Work that was ordered: a film, or whatever a model at fal makes.

Where it stands is a pure function of its row and the time, so it survives kills.
"""

import hashlib
import math
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any, Final, Literal

import orjson

from jobrunner.sandbox.faults import SLOW_S
from jobrunner.sandbox.replicate.prediction import iso

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS takes (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, provider TEXT NOT NULL, request TEXT NOT NULL, text TEXT NOT NULL,
    seed INTEGER NOT NULL, fate TEXT NOT NULL, created_at REAL NOT NULL, wait_s REAL NOT NULL, run_s REAL NOT NULL,
    stopped_at REAL, deleted_at REAL
)
"""

Phase = Literal["waiting", "running", "made", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Take:
    """`request` is the provider's body as JSON text, `fate` the fault word of its prompt. Times are unix seconds."""

    id: str
    provider: str
    request: str
    text: str
    seed: int
    fate: str
    created_at: float
    wait_s: float
    run_s: float
    stopped_at: float | None = None
    deleted_at: float | None = None

    @property
    def body(self) -> dict[str, Any]:
        return dict(orjson.loads(self.request))

    @property
    def created(self) -> str:
        return iso(self.created_at)

    @property
    def ends_at(self) -> float:
        """When it is over by itself; never, if it hangs."""
        return math.inf if self.fate == "hang" else self.created_at + self.wait_s + self.run_s

    def phase(self, now: float) -> Phase:
        if self.stopped_at is not None and self.stopped_at < self.ends_at:
            return "stopped"
        if now < self.ends_at:
            return "waiting" if now < self.created_at + self.wait_s else "running"
        return "failed" if self.fate in ("fail", "moderation") else "made"

    def waited(self, now: float) -> float:
        """0..1 of its waiting."""
        return min(1.0, (now - self.created_at) / self.wait_s)

    def progress(self, now: float) -> float:
        """0..1 of its running. A hanging one stops short of its end."""
        done = max(0.0, round((now - self.created_at - self.wait_s) / self.run_s, 4))
        return min(done, 0.5 if self.fate == "hang" else 1.0)


COLUMNS: Final = ", ".join(field.name for field in fields(Take))
PLACES: Final = ", ".join("?" for _ in fields(Take))


def plan(
    provider: str, body: Mapping[str, Any], *, text: str, fate: str, now: float, speed: float, id: str = ""
) -> Take:
    """A new take: 2 to 4 s long by its words and seed, a fifth of that spent waiting. `id` unset: a UUID."""
    id = id or str(uuid.uuid4())
    seed = body.get("seed")
    seed = int.from_bytes(hashlib.sha256(id.encode()).digest()[:4]) if seed is None else int(seed)
    chance = hashlib.sha256(f"{text}\0{seed}".encode("utf-8", "replace")).digest()[0] / 255
    length_s = (SLOW_S if fate == "slow" else 2.0 + 2.0 * chance) / speed
    return Take(id, provider, orjson.dumps(body).decode(), text, seed, fate, now, length_s * 0.2, length_s * 0.8)


def insert(db: sqlite3.Connection, take: Take) -> None:
    db.execute(f"INSERT INTO takes ({COLUMNS}) VALUES ({PLACES})", astuple(take))


def get(db: sqlite3.Connection, provider: str, id: str) -> Take | None:
    """None also for one that was deleted."""
    wanted = "provider = ? AND id = ? AND deleted_at IS NULL"
    row = db.execute(f"SELECT {COLUMNS} FROM takes WHERE {wanted}", (provider, id)).fetchone()
    return None if row is None else Take(*row)


def stop(db: sqlite3.Connection, id: str, now: float) -> None:
    db.execute("UPDATE takes SET stopped_at = coalesce(stopped_at, ?) WHERE id = ?", (now, id))


def delete(db: sqlite3.Connection, id: str, now: float) -> None:
    db.execute("UPDATE takes SET deleted_at = ? WHERE id = ?", (now, id))


def page(db: sqlite3.Connection, provider: str, *, limit: int, offset: int) -> list[Take]:
    """Newest first."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM takes WHERE provider = ? AND deleted_at IS NULL ORDER BY seq DESC LIMIT ? OFFSET ?",
        (provider, limit, offset),
    )
    return [Take(*row) for row in rows]


def page_after(db: sqlite3.Connection, provider: str, id: str | None, *, limit: int, ascending: bool) -> list[Take]:
    """Those that follow take `id` in that order, from the first on if it is None."""
    beyond, order = (">", "ASC") if ascending else ("<", "DESC")
    start = f"AND seq {beyond} (SELECT seq FROM takes WHERE id = ?)" if id else ""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM takes WHERE provider = ? AND deleted_at IS NULL {start} ORDER BY seq {order} LIMIT ?",
        (provider, *([id] if id else []), limit),
    )
    return [Take(*row) for row in rows]
