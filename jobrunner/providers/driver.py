"""The one interface behind which every provider stands.

A driver is a translator: `prepare` is pure, the other verbs are one or a few HTTP calls each. It never retries,
never sleeps and never decides; it maps what came back to the values below or to AttemptError's subclasses:

- PermanentError   refused for good: invalid input, key, billing, content policy (code `content_policy`), unknown model
- RateLimited      429 for rate or concurrency, with the provider's wish in `retry_after_s`
- TransientError   5xx, timeouts and broken connections where nothing was bought
- SubmitUnknown    only from `submit`: the request was sent and no usable answer came, so it may run and be billed
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from jobrunner.errors import AttemptError
from jobrunner.request import Request
from jobrunner.work import Artifact, Handle, Intent, Money, Output, Plan


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What holds of a provider, and of those of its `endpoints` (a plan's word for them) that differ from the rest.

    `routes`: the requests it makes, by their route.
    `handle`: submit answers a Handle that any process can poll; otherwise one long request answers Finished.
    `idempotent`: the provider honours our key, so an unknown submit may be sent again.
    `lists`: `listed` can look an orphan up. `cancel`: a running piece of work can be cancelled upstream.
    """

    routes: frozenset[str]
    handle: bool
    cancel: bool = False
    idempotent: bool = False
    lists: bool = False
    endpoints: Mapping[str, "Capabilities"] = field(default_factory=dict)

    def of(self, plan: Plan) -> "Capabilities":
        """What can be done about one plan; ask this and not the fields, which most endpoints share but not all."""
        return self.endpoints.get(plan.endpoint, self)


@dataclass(frozen=True, slots=True)
class Running:
    """Not done. `progress` 0..1 and `retry_after_s` where the provider says."""

    progress: float | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """Done and good. `text` is the answer to a TextRequest.

    `meta` is small JSON worth keeping with the step (usage, provider's id, times).
    """

    outputs: tuple[Output, ...]
    meta: Mapping[str, Any]
    cost: Money | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Done and bad: the provider ran it and says why. `error` tells whether a new submit may help."""

    error: AttemptError


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a submit works: `path_of` finds a plan's file, `spool` takes files that arrive in the answer."""

    spool: Path
    path_of: Callable[[Artifact], Path]


@dataclass(frozen=True, slots=True)
class Listed:
    """Work that a provider lists; `made_from` tells whether exactly this plan asked for it."""

    handle: Handle
    made_from: Callable[[Plan], bool]


Poll = Running | Finished | Failed
CancelAnswer = Literal["cancelled", "too_late", "unknown"]


class Driver(Protocol):
    @property
    def name(self) -> str:
        """The provider's word in routes, settings and rows: `replicate`."""

    @property
    def capabilities(self) -> Capabilities: ...

    def prepare(self, model: str, request: Request) -> Plan:
        """The provider's own body for `request`. Pure. Raises PermanentError `unsupported_input`."""

    async def submit(self, intent: Intent, desk: Desk) -> Handle | Finished:
        """Send `intent.plan`. Uploads of its files come first and buy nothing; what they raise is no SubmitUnknown."""

    async def poll(self, handle: Handle) -> Poll:
        """Ask once. Raises RateLimited, TransientError (ask again) or PermanentError (the key is wrong)."""

    async def fetch(self, output: Output, spool: Path) -> Path:
        """The output as a file in `spool`. Raises TransientError, or PermanentError `artifact_expired`."""

    async def cancel(self, handle: Handle) -> CancelAnswer:
        """Best effort; never raises for what the provider answers."""

    async def listed(self, since: float) -> list[Listed]:
        """All that the provider lists as made since `since` (unix seconds), newest first; nothing where it has no list.

        Raises TransientError, RateLimited, PermanentError.
        """

    async def aclose(self) -> None: ...
