"""What tasks, contexts and drivers hand each other. Pure data, JSON in and out, no I/O.

A *request* says what to make, in our words; a driver's `prepare` turns it into a *plan*, the provider's own
body. Sending a plan answers a *handle* (find the work again) or *finished* (it came in the same answer).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import orjson

Kind = Literal["image"]


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """Pictures to make. `size` is (width, height) in pixels; `references` are https or data: URLs."""

    prompt: str
    n: int = 1
    size: tuple[int, int] | None = None
    seed: int | None = None
    references: tuple[str, ...] = ()
    kind: Kind = "image"


@dataclass(frozen=True, slots=True)
class Money:
    """What a provider says a call cost. `unit` as the provider counts."""

    amount: Decimal
    unit: Literal["usd", "credits", "tokens", "seconds", "gas"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One provider call, ready to send: pure data, hashed into the intent. `body` is the provider's JSON."""

    provider: str
    model: str
    endpoint: str
    body: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """sha256 (hex) over provider, endpoint and body: what an orphan is matched by."""
        parts = [self.provider, self.endpoint, self.body]
        return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Intent:
    """Committed before a plan is sent: `key` never changes between attempts at the same purchase."""

    key: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class Handle:
    """What finds the work again at its provider. `urls` are as the provider gave them; times are unix seconds."""

    provider: str
    id: str
    urls: Mapping[str, str] = field(default_factory=dict)
    submitted_at: float = 0.0
    expires_at: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Handle":
        return cls(**value)


@dataclass(frozen=True, slots=True)
class Output:
    """One file that a provider made: at a `url`, or already spooled to `path`."""

    kind: Kind
    url: str | None = None
    path: Path | None = None
    mime: str | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of ours that a job produced. `key` is its place in the artifact store; `sha256` is hex."""

    id: UUID
    job_id: UUID
    kind: Kind
    mime: str
    size_bytes: int
    sha256: str
    key: str
    width: int | None = None
    height: int | None = None

    @property
    def url(self) -> str:
        """Where the API serves it; relative, since only the operator knows the public host."""
        return f"/v1/artifacts/{self.id}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "id": str(self.id), "job_id": str(self.job_id)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Artifact":
        return cls(**{**value, "id": UUID(value["id"]), "job_id": UUID(value["job_id"])})
