"""What changed of which job: a capped stream in Redis, which writers append to after their commit.

An entry is the change itself, not only its job's id: a row that is read later has forgotten what passed in between,
so that ids alone could not be resumed from, and who watches all jobs would read thousands of rows a second. Nobody
waits for an append; what is lost on the way, or was cut off, its readers make good from Postgres.
"""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from itertools import chain
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson
from arq.connections import ArqRedis

from jobrunner.batch import Batcher
from jobrunner.broker.connection import ANSWER_S, CONNECT_S, end_tasks, mapped_errors
from jobrunner.errors import Unavailable
from jobrunner.events import emit
from jobrunner.job import Job, Status
from jobrunner.shown import EventKind

KEY = "jobrunner:events"

HELD = 50_000
"""How many changes Redis holds; about 15 MB."""

BLOCK_S = 5.0
"""A reader looks up from its sleep this often: a Redis that fell silent is found out."""

Position = tuple[int, int]
"""A Redis stream's id: milliseconds, and a number within them. It only grows."""

NOWHERE: Position = (0, 0)
"""Before every change; Redis gives it to none."""

_PAGE = 1000
_BREATH_S = 0.05
"""Before each append: of jobs that come one by one, hundreds go in one, and no watcher notices."""
_ERROR_CHARS = 500
_LINE_CHARS = 500
_LOG_BYTES = 4000
_POSITION = re.compile(r"(\d{1,20})-(\d{1,20})")
_APPEND = """
for i = 2, #ARGV, 3 do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*',
             'job', ARGV[i], 'kind', ARGV[i + 1], 'data', ARGV[i + 2])
end
"""


class Change(NamedTuple):
    """`data` is JSON and, where it was read from Redis, anyone's: see `read`."""

    job_id: str
    kind: str
    data: bytes
    at: Position = NOWHERE

    def read(self) -> dict[str, Any] | None:
        """What it says; None if that is nothing that we would say of this job."""
        try:
            data = orjson.loads(self.data)
            sound = data["id"] == self.job_id and isinstance(data["attempt"], int) and _sound(self.kind, data)
        except (ValueError, TypeError, KeyError):
            sound = False
        if not sound:
            emit("changes.garbage", logging.WARNING, at=position_text(self.at), size_bytes=len(self.data))
            return None
        return cast("dict[str, Any]", data)


def moved(job: Job) -> Change:
    return _change(
        job,
        "status",
        status=job.status,
        error=cut_error(job.error),
        result_url=job.result_url,
        due_at=job.due_at,
        updated_at=job.updated_at,
    )


def progressed(job: Job, fraction: float, note: str) -> Change:
    return _change(job, "progress", progress=round(fraction, 4), progress_note=note)


def stepped(job: Job, step: Mapping[str, Any]) -> Change:
    """`step` as it is shown."""
    return _change(job, "step", step={**step, "error": cut_error(step["error"])})


def previewed(job: Job, preview: Mapping[str, Any]) -> Change:
    """`preview` is what a picture is and where it is served, not the picture."""
    return _change(job, "preview", preview=preview)


def logged(job: Job, lines: Sequence[Mapping[str, Any]]) -> Change:
    """The newest of `lines` (`at`, `level`, `message`, `fields`), as many as may stand in one change."""
    room, told = _LOG_BYTES, deque[Mapping[str, Any]]()
    for line in reversed(lines):
        short = {**line, "message": line["message"][:_LINE_CHARS]}
        if len(orjson.dumps(line["fields"])) > _LINE_CHARS:
            short["fields"] = {}
        room -= len(orjson.dumps(short))
        if room < 0:
            message = f"{len(lines) - len(told)} lines are left out here; the job's log has them."
            told.appendleft({"at": line["at"], "level": "info", "message": message, "fields": {}})
            break
        told.appendleft(short)
    return _change(job, "log", lines=[*told])


def tellings(kind: str, said: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What is told of a change: a log's lines one by one."""
    if kind != "log":
        return [said]
    whose = {name: value for name, value in said.items() if name != "lines"}
    return [{**line, **whose} for line in said["lines"]]


def cut_error(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What a change says of an error, which others may have written; the row keeps the whole of it."""
    if record is None:
        return None
    message = str(record.get("message", ""))[:_ERROR_CHARS].encode(errors="replace").decode()
    return {"code": record.get("code"), "message": message, "retryable": record.get("retryable", False)}


def position_text(at: Position) -> str:
    return f"{at[0]}-{at[1]}"


def read_position(text: str) -> Position | None:
    found = _POSITION.fullmatch(text)
    if found is None or max(at := (int(found[1]), int(found[2]))) >= 2**64:
        return None
    return at


class Changes:
    """`blocking`: a client without a time limit on answers. Reading raises Unavailable."""

    def __init__(self, redis: ArqRedis, blocking: ArqRedis) -> None:
        self._redis = redis
        self._blocking = blocking
        self._append = redis.register_script(_APPEND)
        self._coming: list[Iterable[Change]] = []
        self._untold: deque[Change] = deque(maxlen=HELD)
        self._telling: asyncio.Task[None] | None = None
        self._resumed: Batcher[tuple[str, Position], list[Change] | None] = Batcher(self._since)

    async def drain(self) -> None:
        """Wait until Redis has heard all, or could not."""
        if self._telling is not None:
            await asyncio.wait([self._telling])

    async def aclose(self) -> None:
        """A Redis that hangs holds up nobody who leaves."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.drain(), ANSWER_S)
        if self._telling is not None:
            await end_tasks(self._telling)

    # ---- writing -------------------------------------------------------------------------------

    def tell(self, changes: Iterable[Change]) -> None:
        """Append what Postgres has committed: soon, in order, in one call for all that came during the last one.

        `changes` may make them as they are asked for, which happens only then.
        """
        self._coming.append(changes)
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell(), name="tell changes", context=Context())

    async def _tell(self) -> None:
        while self._coming or self._untold:
            await asyncio.sleep(_BREATH_S)
            coming, self._coming = self._coming, []
            self._untold.extend(chain.from_iterable(coming))
            if not self._untold:
                return
            page = [self._untold.popleft() for _ in range(min(_PAGE, len(self._untold)))]
            arguments = [part for each in page for part in (each.job_id, each.kind, each.data)]
            try:
                with mapped_errors():
                    await self._append(keys=[KEY], args=[HELD, *arguments])
            except Unavailable as error:
                emit("redis.untold", logging.WARNING, changes=len(page), error=str(error))

    # ---- reading -------------------------------------------------------------------------------

    async def last(self) -> Position:
        """Where the newest change stands; NOWHERE if there is none."""
        with mapped_errors():
            newest = await self._redis.xrevrange(KEY, count=1)
        return _position(newest[0][0]) if newest else NOWHERE

    async def next(self, after: Position) -> list[Change]:
        """The changes after that one, up to a page of them; waits for the first, BLOCK_S seconds at most."""
        with mapped_errors():
            async with asyncio.timeout(BLOCK_S + CONNECT_S + 1):
                return _changes(
                    await self._blocking.xread({KEY: position_text(after)}, count=_PAGE, block=round(BLOCK_S * 1000))
                )

    async def holds(self, at: Position) -> bool:
        """Whether nothing of what came after that one was lost."""
        with mapped_errors():
            [held] = await self._held([at])
        return held

    async def page(self, after: Position) -> list[Change]:
        """The changes after that one which are there, up to a page of them."""
        with mapped_errors():
            return _changes(await self._redis.xread({KEY: position_text(after)}, count=_PAGE))

    async def since(self, job_id: UUID, after: Position) -> list[Change] | None:
        """A job's changes after that one; None if Redis no longer holds it. Those who ask at once share one look."""
        return await self._resumed.add((str(job_id), after))

    async def _since(self, asked: list[tuple[str, Position]]) -> Sequence[list[Change] | None]:
        with mapped_errors():
            held = await self._held([after for _, after in asked])
            found: dict[str, list[Change]] = {job_id: [] for job_id, _ in asked}
            at = min((after for (_, after), is_held in zip(asked, held, strict=True) if is_held), default=None)
            while at is not None:
                page = await self.page(at)
                for change in page:
                    if change.job_id in found:
                        found[change.job_id].append(change)
                at = page[-1].at if page else None
        return [
            [change for change in found[job_id] if change.at > after] if is_held else None
            for (job_id, after), is_held in zip(asked, held, strict=True)
        ]

    async def _held(self, positions: Sequence[Position]) -> list[bool]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for text in map(position_text, positions):
                pipe.xrange(KEY, text, text)
            return [bool(found) for found in await pipe.execute()]


def _change(job: Job, kind: EventKind, **said: Any) -> Change:
    job_id = str(job.id)
    said |= {"id": job_id, "task": job.task, "module": job.module, "user_id": job.user_id, "attempt": job.fence}
    return Change(job_id, kind, orjson.dumps(said, option=orjson.OPT_UTC_Z))


def _sound(kind: str, data: dict[str, Any]) -> bool:
    match kind:
        case "status":
            return bool(Status(data["status"]))
        case "progress":
            return isinstance(data["progress"], float | int) and isinstance(data["progress_note"], str)
        case "step":
            return isinstance(data["step"], dict)
        case "preview":
            return isinstance(data["preview"], dict)
        case "log":
            return bool(data["lines"]) and all(isinstance(line, dict) for line in data["lines"])
        case _:
            return False


def _position(raw: bytes) -> Position:
    milliseconds, _, number = raw.partition(b"-")
    return int(milliseconds), int(number)


def _changes(answer: Any) -> list[Change]:
    """XREAD's answer: one stream's entries, or nothing."""
    entries = answer[0][1] if answer else []
    return [
        Change(
            fields.get(b"job", b"").decode(errors="replace"),
            fields.get(b"kind", b"").decode(errors="replace"),
            fields.get(b"data", b""),
            _position(raw_id),
        )
        for raw_id, fields in entries
    ]
