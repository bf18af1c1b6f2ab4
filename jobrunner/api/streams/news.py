"""What streams of all jobs are told: each change is read and written once, for all who watch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from jobrunner.api.streams import sse
from jobrunner.api.streams.feed import Feed
from jobrunner.broker.changes import Change, Position, position_text

PENDING = 5000
"""How many changes a stream may be behind before it is cut off: one read of Redis brings up to a thousand."""


@dataclass(frozen=True, slots=True)
class News:
    """`text` is it as the stream has it."""

    at: Position
    kind: str
    said: Mapping[str, Any]
    text: bytes

    @classmethod
    def of(cls, changes: Iterable[Change]) -> list[Self]:
        read = ((change, change.read()) for change in changes)
        return [
            cls(each.at, each.kind, said, sse.events(each.kind, position_text(each.at), said))
            for each, said in read
            if said is not None
        ]

    @classmethod
    def reset(cls, at: Position) -> Self:
        """What its reader shows may be stale: something was lost before `at`."""
        return cls(at, "reset", {}, sse.event("reset", position_text(at), {}))


class Watch(Feed[News]):
    """One stream's. It hears nothing before `begin`; until then its reader is told what it missed."""

    def __init__(
        self, holds: Callable[[str, Mapping[str, Any]], bool], *, cut: Callable[[], None], gone: Callable[[], bool]
    ) -> None:
        super().__init__("all jobs", cut=cut, gone=gone, most=PENDING)
        self._holds = holds
        self._after: Position | None = None

    def begin(self, after: Position) -> None:
        """From now on tell what came after that one."""
        self._after = after

    def picked(self, news: Iterable[News]) -> list[News]:
        return [each for each in news if self._holds(each.kind, each.said)]

    def hear(self, news: Iterable[News]) -> None:
        for each in self.picked(news) if self._after is not None else ():
            if self._after is not None and each.at > self._after:
                self.offer(each)

    def lose(self, at: Position) -> None:
        """Something before `at` was lost, and Redis may count anew."""
        if self._after is not None:
            self._after = at
            self.offer(News.reset(at))
