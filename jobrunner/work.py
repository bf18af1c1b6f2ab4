"""What tasks, contexts and drivers hand each other. Pure data, JSON in and out, no I/O.

A *request* says what to make, in our words; a driver's `prepare` turns it into a *plan*, the provider's own
body. Sending a plan answers a *handle* (find the work again) or *finished* (it came in the same answer).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal
from uuid import UUID

_MARK = "$file"

Kind = Literal["image", "video", "audio"]
"""What a file is."""


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


# ---- what to make ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """Pictures from words. `size` is (width, height) in pixels; `references` show what should look alike."""

    route: ClassVar[str] = "image"
    prompt: str
    n: int = 1
    size: tuple[int, int] | None = None
    seed: int | None = None
    references: tuple[Artifact, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageEdit:
    """Pictures made from `image` by an instruction; where `mask` is transparent, the picture may change."""

    route: ClassVar[str] = "image_edit"
    image: Artifact
    instruction: str
    mask: Artifact | None = None
    n: int = 1
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """A clip from words, or from a first frame and words."""

    route: ClassVar[str] = "video"
    prompt: str
    duration_s: float = 5.0
    size: tuple[int, int] = (1280, 720)
    image: Artifact | None = None
    seed: int | None = None


NARRATOR = "narrator"
"""The voice that every provider has, whatever it is called there."""


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """`text` spoken. `language` is ISO 639-1; `speed` 1.0 is normal.

    `voice` is the provider's name or id of one, or NARRATOR, which every driver takes for its own default voice.
    """

    route: ClassVar[str] = "speech"
    text: str
    voice: str
    language: str | None = None
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class MusicRequest:
    route: ClassVar[str] = "music"
    prompt: str
    length_s: float
    instrumental: bool = True


@dataclass(frozen=True, slots=True)
class SoundRequest:
    """A sound effect."""

    route: ClassVar[str] = "sound"
    prompt: str
    length_s: float


SyncMode = Literal["bounce", "loop", "cut_off", "silence", "remap"]
"""What happens where video and audio do not last equally long, in sync.so's words."""


@dataclass(frozen=True, slots=True)
class LipsyncRequest:
    """`video` with its mouths moved to `audio`."""

    route: ClassVar[str] = "lipsync"
    video: Artifact
    audio: Artifact
    sync_mode: SyncMode = "cut_off"


@dataclass(frozen=True, slots=True)
class TextRequest:
    """Words from words. With `schema` (JSON Schema of an object) the answer is JSON that fits it."""

    route: ClassVar[str] = "text"
    instructions: str
    prompt: str
    schema: Mapping[str, Any] | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class PinRequest:
    """A file, or JSON, kept on IPFS for everybody: its address is made from its content."""

    route: ClassVar[str] = "pin"
    name: str
    content: Artifact | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MintRequest:
    """A token for address `to` whose metadata is at `uri`.

    A job mints once under a `name`, however often it is tried or retried. `contract`, where it is given, must be the
    one that settings name.
    """

    route: ClassVar[str] = "mint"
    to: str
    uri: str
    job_id: UUID
    name: str = "mint"
    contract: str | None = None

    @property
    def key(self) -> str:
        """32 bytes as hex, used once on the chain."""
        return sha256(f"{self.job_id}:{self.name}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """A new collection of ours. The same `key` (64 hex digits) never deploys two."""

    route: ClassVar[str] = "deploy"
    name: str
    symbol: str
    key: str


Request = (
    ImageRequest | ImageEdit | VideoRequest | SpeechRequest | MusicRequest | SoundRequest | LipsyncRequest | TextRequest
    | PinRequest | MintRequest | DeployRequest
)  # fmt: skip


# ---- how it is bought --------------------------------------------------------------------------


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
