"""What is to be made, in our words: pure data. A driver's `prepare` turns it into its provider's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar, Literal
from uuid import UUID

from jobrunner.work import Artifact


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
