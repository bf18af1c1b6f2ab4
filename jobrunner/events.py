"""What happened, as data. Logs, metrics and streams subscribe; the code that emits knows none of them.

Emitting allocates nothing where nobody listens for that level, and a listener's error never reaches the emitter.
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
_listeners: list[tuple[int, Listener]] = []
"""Each with the lowest level that it wants to hear of."""


def emit(name: str, level: int = logging.INFO, /, **fields: Any) -> None:
    event = None
    for lowest, listener in _listeners:
        if level < lowest:
            continue
        event = event or Event(name, level, fields)
        try:
            listener(event)
        except Exception:  # noqa: BLE001  # a broken listener must not break what it listens to
            _log.exception("a listener failed on event %s", name)


@contextlib.contextmanager
def subscribe(listener: Listener, *, level: int = logging.NOTSET) -> Iterator[None]:
    """Call `listener` for each event of `level` and above while the block runs."""
    _listeners.append((level, listener))
    try:
        yield
    finally:
        _listeners.remove((level, listener))
