"""What tasks say into their jobs' logs, written twice a second however often they say something."""

import asyncio
import logging
import re
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import orjson

from jobrunner.broker.changes import Changes, logged
from jobrunner.client.showing import line_json
from jobrunner.errors import Unavailable
from jobrunner.events import emit
from jobrunner.job import Job
from jobrunner.redaction import redacted
from jobrunner.store.logs import Line, Logs, Said
from jobrunner.store.rows import storable
from jobrunner.work import Level
from jobrunner.worker.service import OnDemand

WAITING = 100
"""How many lines of an attempt wait to be written; of more, the oldest are left out."""

_AT_ONCE = 2000
_MESSAGE_CHARS = 2000
_FIELDS_CHARS = 2000
_LEVELS = frozenset(get_args(Level))
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""As JSON escapes it, where the backslash is no escaped one itself."""


@dataclass(slots=True, eq=False)
class Log:
    """One attempt's lines that are not written yet. `lost`: how many before them never will be."""

    job: Job
    lines: deque[Said] = field(default_factory=deque)
    numbered: int = 0
    lost: int = 0

    def say(self, level: Level, message: str, fields: Mapping[str, Any]) -> None:
        """Raises ValueError for a level that there is not."""
        if level not in _LEVELS:
            raise ValueError(f"There is no log level {level!r}; use one of {', '.join(get_args(Level))}.")
        self.numbered += 1
        self.lines.append(self._line(self.numbered, time.monotonic(), level, message, _as_json(fields)))
        self._bound()

    def take(self, most: int) -> list[Said]:
        """The oldest lines, told in front of them how many were lost."""
        taken = [self.lines.popleft() for _ in range(min(most, len(self.lines)))]
        if self.lost and taken:
            first = taken[0]
            message = f"{self.lost:,} lines are left out here: the task logs faster than lines are written."
            taken.insert(0, self._line(first.number - 1, first.said_s, "warning", message, "{}"))
            self.lost = 0
        return taken

    def put_back(self, line: Said) -> None:
        self.lines.appendleft(line)
        self._bound()

    def _bound(self) -> None:
        while len(self.lines) > WAITING:
            self.lines.popleft()
            self.lost += 1

    def _line(self, number: int, said_s: float, level: Level, message: str, fields: str) -> Said:
        text = storable(redacted(str(message))[:_MESSAGE_CHARS])
        return Said(self.job.id, self.job.fence, number, said_s, level, text, fields)


class Journal(OnDemand):
    """A service. Lines that Postgres did not take wait for the next round.

    No lease is asked for: a line says what its attempt did, and none is written once that has a successor.
    """

    name = "journal"
    every_s = 0.5

    def __init__(self, logs: Logs, changes: Changes) -> None:
        super().__init__()
        self._logs = logs
        self._changes = changes
        self._waiting: dict[Log, None] = {}
        self._writing = asyncio.Lock()

    def say(self, log: Log, message: str, level: Level = "info", fields: Mapping[str, Any] | None = None) -> None:
        """Raises ValueError for a level that there is not."""
        log.say(level, message, fields or {})
        self._waiting[log] = None
        self.came()

    @property
    def waits(self) -> bool:
        return bool(self._waiting)

    async def run_once(self) -> None:
        async with self._writing:
            if self._waiting:
                await self._write()

    async def end(self, log: Log) -> None:
        """Write what is left: an attempt's lines are told before its end is. Who comes meanwhile finds it done."""
        try:
            async with self._writing:
                while log in self._waiting:
                    await self._write()
        except Unavailable as error:
            emit("log.waits", logging.WARNING, job_id=str(log.job.id), error=str(error))

    async def _write(self) -> None:
        share = max(1, _AT_ONCE // len(self._waiting))
        batch = [(log, line) for log in self._waiting for line in log.take(share)]
        try:
            written = await self._logs.append([line for _, line in batch])
        except BaseException:
            for log, line in reversed(batch):
                log.put_back(line)
            raise
        told = defaultdict[Log, list[dict[str, Any]]](list)
        for (log, _), kept in zip(batch, written, strict=True):
            if isinstance(kept, Line):
                told[log].append(line_json(kept))
        self._changes.tell(logged(log.job, lines) for log, lines in told.items())
        self._waiting = {log: None for log in self._waiting if log.lines}


def _as_json(fields: Mapping[str, Any]) -> str:
    """What JSON has no word for is kept as text."""
    try:
        text = orjson.dumps(fields, default=str).decode()
    except orjson.JSONEncodeError:
        text = orjson.dumps({storable(name): storable(repr(value)) for name, value in fields.items()}).decode()
    text = _NUL.sub(r"\1\\ufffd", redacted(text))
    return text if len(text) <= _FIELDS_CHARS else orjson.dumps({"cut": text[:_FIELDS_CHARS]}).decode()
