"""What happened, as data. Logs, metrics and streams subscribe; the code that emits knows none of them.

Emitting allocates nothing where nobody listens for that level, and a listener's error never reaches the emitter.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

_log = logging.getLogger(__name__)

_NOBODY = logging.CRITICAL + 1


@dataclass(frozen=True, slots=True)
class Event:
    """`name` is dotted (`job.finished`, `redis.away`); `level` is a logging level; `fields` are JSON values."""

    name: str
    level: int
    fields: dict[str, Any]


Listener = Callable[[Event], None]
_listeners: list[tuple[int, Listener]] = []
_lowest = _NOBODY
"""What is below this level nobody listens to."""

about: ContextVar[Mapping[str, Any]] = ContextVar("about", default={})  # noqa: B039  # nobody writes into it
"""The job or request that this code runs for, as fields: whoever logs a line puts them beside the line's own.

An asyncio task that one of them starts and that works for all gets an empty context: it would name the wrong one.
"""


def emit(name: str, level: int = logging.INFO, /, **fields: Any) -> None:
    if level < _lowest:
        return
    event = Event(name, level, fields)
    for wanted, listener in _listeners:
        if level < wanted:
            continue
        try:
            listener(event)
        except Exception:  # noqa: BLE001  # a broken listener must not break what it listens to
            _log.exception("a listener failed on event %s", name)


def heard(level: int) -> bool:
    """Whether anybody listens for that level: who would emit for each of a thousand asks first."""
    return level >= _lowest


@contextlib.contextmanager
def subscribe(listener: Listener, *, level: int = logging.NOTSET) -> Iterator[None]:
    """Let `listener` hear the events of `level` and above while the block runs."""
    entry = (level, listener)
    _listeners.append(entry)
    _set_lowest()
    try:
        yield
    finally:
        _listeners.remove(entry)
        _set_lowest()


def _set_lowest() -> None:
    global _lowest  # noqa: PLW0603  # follows from _listeners, which everybody shares too
    _lowest = min((level for level, _ in _listeners), default=_NOBODY)
