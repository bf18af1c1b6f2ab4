"""What happened, as data. Logs, metrics and streams subscribe; the code that emits knows none of them.

Emitting costs one truth test when nobody listens, and a listener's error never reaches the emitter.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """`name` is dotted (`job.finished`, `redis.away`); `level` is a logging level; `fields` are JSON values."""

    name: str
    level: int
    fields: dict[str, Any]


Listener = Callable[[Event], None]
_listeners: list[Listener] = []


def emit(name: str, level: int = logging.INFO, /, **fields: Any) -> None:
    if not _listeners:
        return
    event = Event(name, level, fields)
    for listener in _listeners:
        try:
            listener(event)
        except Exception:  # noqa: BLE001  # a broken listener must not break what it listens to
            _log.exception("a listener failed on event %s", name)


@contextlib.contextmanager
def subscribe(listener: Listener) -> Iterator[None]:
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
