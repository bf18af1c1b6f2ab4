"""What happens to many jobs, picked from the log of changes."""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from jobrunner import shown
from jobrunner.broker.changes import Changes, tellings
from jobrunner.errors import InvalidRequest
from jobrunner.job import WEBHOOK_MODULE, Status

_KINDS = get_args(shown.EventKind)


@dataclass(frozen=True, slots=True)
class Watched:
    """Which changes: those of one of the `kind`s (none named: of any) of jobs that fit all else that is given.

    A change that names no status is one of a job in progress. Deliveries are told to whoever asks for their module.
    """

    task: str | None = None
    module: str | None = None
    user_id: str | None = None
    status: Collection[Status] = ()
    kind: Collection[str] = ()

    def __post_init__(self) -> None:
        """Raises InvalidRequest."""
        if unknown := set(self.kind) - set(_KINDS):
            message = f"there is no {', '.join(sorted(unknown))}; there are {', '.join(_KINDS)}"
            raise InvalidRequest(f"kind: {message}.", [{"path": "kind", "message": message, "type": "kind_unknown"}])

    def holds(self, kind: str, said: Mapping[str, Any]) -> bool:
        module = said.get("module")
        return (
            (not self.kind or kind in self.kind)
            and (not self.status or said.get("status", Status.IN_PROGRESS) in self.status)
            and (self.task is None or self.task == said.get("task"))
            and (self.user_id is None or self.user_id == said.get("user_id"))
            and (module != WEBHOOK_MODULE if self.module is None else module == self.module)
        )


async def watched(changes: Changes, wanted: Watched) -> AsyncIterator[shown.Event]:
    """From now on, without end; each reader holds a connection to Redis, of which there are a few.

    Raises Unavailable where Redis is away: what happens meanwhile is not told.
    """
    at = await changes.last()
    while True:
        for change in await changes.next(at):
            at = change.at
            said = change.read()
            if said is not None and wanted.holds(change.kind, said):
                for telling in tellings(change.kind, said):
                    yield shown.Event.model_validate({"kind": change.kind, "data": telling})
