"""What tasks, contexts and drivers hand each other. Pure data, JSON in and out, no I/O.

A *request* says what to make, in our words; a driver's `prepare` turns it into a *plan*, the provider's own
body. Sending a plan answers a *handle* (find the work again) or *finished* (it came in the same answer).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

_MARK = "$file"

Kind = Literal["image", "video", "audio"]
"""What a file is."""

Level = Literal["debug", "info", "warning", "error"]
"""How much a line of a job's log matters."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of ours: a job produced it, or (`job_id` None) somebody uploaded it.

    `key` is its place in the artifact store; `sha256` is hex; sizes in pixels.
    """

    id: UUID
    job_id: UUID | None
    kind: Kind
    mime: str
    size_bytes: int
    sha256: str
    key: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    user_id: str | None = None

    @property
    def url(self) -> str:
        """Where the API serves it; relative, since only the operator knows the public host."""
        return f"/v1/artifacts/{self.id}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "id": str(self.id), "job_id": self.job_id and str(self.job_id)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Artifact":
        job_id = value["job_id"]
        return cls(**{**value, "id": UUID(value["id"]), "job_id": job_id and UUID(job_id)})


@dataclass(frozen=True, slots=True)
class Money:
    """What a provider says a call cost. `unit` as the provider counts."""

    amount: Decimal
    unit: Literal["usd", "credits", "tokens", "seconds", "gas"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One provider call, ready to send: pure data, committed with the intent. `body` is the provider's JSON.

    Where it needs a file it says `file_mark(artifact)`; the driver puts an upload's name or the bytes there on
    sending (`fill`), so that no row holds a file.
    """

    provider: str
    model: str
    endpoint: str
    body: Mapping[str, Any]
    files: tuple[Artifact, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Plan":
        return cls(**{**value, "files": tuple(Artifact.from_json(each) for each in value.get("files", ()))})


def file_mark(artifact: Artifact) -> dict[str, str]:
    """What stands in a plan's body for a file of its `files`."""
    return {_MARK: str(artifact.id)}


def fill(body: Any, places: Mapping[str, Any]) -> Any:
    """`body` with each file mark replaced by what the provider shall read in its place; `places` by artifact id."""
    if isinstance(body, Mapping):
        if body.keys() == {_MARK} and body[_MARK] in places:
            return places[body[_MARK]]
        return {key: fill(value, places) for key, value in body.items()}
    if isinstance(body, (list, tuple)):
        return [fill(value, places) for value in body]
    return body


@dataclass(frozen=True, slots=True)
class Intent:
    """Committed before a plan is sent: `key` never changes between attempts at the same purchase.

    `webhook_url` is where the provider may call when it is done, if it takes one with the request.
    """

    key: str
    plan: Plan
    webhook_url: str | None = None


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
class Generated:
    """What a purchase brought: files of ours, words, what the provider says of it, and what it cost."""

    artifacts: tuple[Artifact, ...]
    text: str | None
    meta: Mapping[str, Any]
    cost: Money | None

    def to_json(self) -> dict[str, Any]:
        cost = None if self.cost is None else {"amount": str(self.cost.amount), "unit": self.cost.unit}
        artifacts = [each.to_json() for each in self.artifacts]
        return {"artifacts": artifacts, "text": self.text, "meta": dict(self.meta), "cost": cost}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Generated":
        cost = value["cost"]
        artifacts = tuple(Artifact.from_json(each) for each in value["artifacts"])
        money = None if cost is None else Money(Decimal(cost["amount"]), cost["unit"])
        return cls(artifacts, value["text"], value["meta"], money)
