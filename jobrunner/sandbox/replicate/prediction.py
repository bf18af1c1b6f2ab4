"""A prediction as Replicate keeps it. Its status is a pure function of its row and the time, so it survives kills."""

import base64
import hashlib
import math
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from jobrunner.sandbox.faults import SLOW_S
from jobrunner.sandbox.replicate.catalogue import file_names, output, words

KEPT_S: Final = 3600.0
"""Replicate deletes input, output, logs and files of API predictions an hour after their end."""
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS predictions (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, model TEXT NOT NULL, version TEXT NOT NULL, input TEXT NOT NULL,
    seed INTEGER NOT NULL, fate TEXT NOT NULL, created_at REAL NOT NULL, start_s REAL NOT NULL, run_s REAL NOT NULL,
    deadline_at REAL, canceled_at REAL, expired_at REAL
)
"""


@dataclass(frozen=True, slots=True)
class Prediction:
    """`fate` is the fault word of its prompt. Times are unix seconds; `input` is JSON text."""

    id: str
    model: str
    version: str
    input: str
    seed: int
    fate: str
    created_at: float
    start_s: float
    run_s: float
    deadline_at: float | None = None
    canceled_at: float | None = None
    expired_at: float | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(orjson.loads(self.input))

    @property
    def started_at(self) -> float:
        return self.created_at + self.start_s

    @property
    def ends_at(self) -> float:
        """When it is over, one way or another; never, if it hangs and nobody stops it."""
        own = math.inf if self.fate == "hang" else self.started_at + self.run_s
        return min(own, self.stopped_at)

    @property
    def stopped_at(self) -> float:
        return min(self.canceled_at or math.inf, self.deadline_at or math.inf)

    def status(self, now: float) -> str:
        if now < self.ends_at:
            return "starting" if now < self.started_at else "processing"
        if self.ends_at == self.stopped_at:
            in_time = self.canceled_at is not None and self.canceled_at == self.stopped_at
            return "canceled" if in_time or self.stopped_at > self.started_at else "aborted"
        return "failed" if self.fate in ("fail", "moderation") else "succeeded"

    def removed(self, now: float) -> bool:
        return now >= min(self.ends_at + KEPT_S, self.expired_at or math.inf)

    def progress(self, now: float) -> float:
        """0..1. A hanging one stops short of its end."""
        until = min(now, self.ends_at)
        done = max(0.0, round((until - self.started_at) / self.run_s, 4))
        return min(done, 0.5 if self.fate == "hang" else 1.0)


COLUMNS: Final = ", ".join(field.name for field in fields(Prediction))
PLACES: Final = ", ".join("?" for _ in fields(Prediction))


def plan(
    *, model: str, version: str, input: Mapping[str, Any], fate: str, now: float, deadline_s: float | None, speed: float
) -> Prediction:
    """A new prediction: 0.6 to 1.5 s long by its prompt and seed, a fifth of that spent starting."""
    id = base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
    seed = input.get("seed")
    seed = int.from_bytes(hashlib.sha256(id.encode()).digest()[:4]) if seed is None else seed
    chance = hashlib.sha256(f"{words(input)}\0{seed}".encode("utf-8", "replace")).digest()[0] / 255
    length_s = (SLOW_S if fate == "slow" else 0.6 + 0.9 * chance) / speed
    return Prediction(
        id, model, version, orjson.dumps(input).decode(), seed, fate, now, length_s * 0.2, length_s * 0.8,
        None if deadline_s is None else now + deadline_s,
    )  # fmt: skip


def insert(db: sqlite3.Connection, prediction: Prediction) -> None:
    db.execute(f"INSERT INTO predictions ({COLUMNS}) VALUES ({PLACES})", astuple(prediction))


def get(db: sqlite3.Connection, id: str) -> Prediction | None:
    row = db.execute(f"SELECT {COLUMNS} FROM predictions WHERE id = ?", (id,)).fetchone()
    return None if row is None else Prediction(*row)


def stop(db: sqlite3.Connection, id: str, now: float) -> None:
    db.execute("UPDATE predictions SET canceled_at = coalesce(canceled_at, ?) WHERE id = ?", (now, id))


def expire(db: sqlite3.Connection, id: str, now: float) -> None:
    db.execute("UPDATE predictions SET expired_at = coalesce(expired_at, ?) WHERE id = ?", (now, id))


def page(
    db: sqlite3.Connection, *, older_than: int | None, newer_than: int | None, limit: int
) -> list[tuple[int, Prediction]]:
    """Newest first, each with its sequence number; `newer_than` answers the nearest ones above it."""
    order, low, high = ("ASC" if newer_than is not None else "DESC"), newer_than or 0, older_than or 2**62
    rows = db.execute(
        f"SELECT seq, {COLUMNS} FROM predictions WHERE seq > ? AND seq < ? ORDER BY seq {order} LIMIT ?",
        (low, high, limit),
    ).fetchall()
    found = [(row[0], Prediction(*row[1:])) for row in rows]
    return found[::-1] if newer_than is not None else found


def shown(row: Prediction, origin: str, now: float) -> dict[str, Any]:
    """The prediction as the API shows it at `now` (unix seconds)."""
    status, removed, arguments = row.status(now), row.removed(now), row.arguments
    done, ran = now >= row.ends_at, row.started_at < min(now, row.ends_at)
    files = [f"{origin}/replicate/files/{row.id}/{name}" for name in file_names(row.model, arguments)]
    made = output(row.model, files) if status == "succeeded" and not removed else None
    times = {"predict_time": round(row.ends_at - row.started_at, 6)} if done and ran else {}
    urls = {"get": f"{origin}/replicate/v1/predictions/{row.id}", "web": f"{origin}/replicate/p/{row.id}"}
    return {
        "id": row.id, "model": row.model, "version": row.version, "status": status,
        "input": {} if removed else arguments, "output": made,
        "error": _error(row) if status == "failed" else None, "logs": "" if removed else _logs(row, now),
        "metrics": {**times, "total_time": round(row.ends_at - row.created_at, 6)} if done else {},
        "created_at": iso(row.created_at), "started_at": iso(row.started_at) if ran else None,
        "completed_at": iso(row.ends_at) if done else None, "data_removed": removed, "source": "api",
        "deadline": iso(row.deadline_at) if row.deadline_at else None,
        "urls": {**urls, "cancel": f"{urls['get']}/cancel"},
    }  # fmt: skip


def _error(row: Prediction) -> str:
    if row.fate == "moderation":
        return "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"
    return "Prediction failed: the prompt asked for it with [fail]."


def _logs(row: Prediction, now: float) -> str:
    if now < row.started_at or row.ends_at <= row.started_at:
        return ""
    steps = int(row.progress(now) * 4)
    lines = [f"{25 * n:3d}%|{'█' * 2 * n:<8}| {n}/4 [00:00<00:00,  4.00it/s]" for n in range(steps + 1)]
    return "\n".join([f"running quickly\nUsing seed: {row.seed}", *lines])


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
