"""The queue in Redis beside its truth in Postgres, and what disagrees."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from jobrunner.broker.entries import Held
from jobrunner.broker.queue import Queue, now_ms, to_ms
from jobrunner.job import Status
from jobrunner.store.crew import Backlog
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Active, Looked

Kind = Literal["lost", "late", "early", "unheld", "offered", "ended", "unknown"]

MEANINGS: Mapping[Kind, str] = {
    "lost": "pending, and Redis does not know it, so nobody is woken for it; a worker pushes it within a minute",
    "late": "pending, and due later in Redis than it should be; a worker pushes it again within a minute",
    "early": "pending, and due earlier in Redis than it may run; the worker that takes it puts it back",
    "unheld": "running, and Redis does not know it, so arq's tools call it unknown; a worker enters it within a minute",
    "offered": "running, and Redis offers it all the same; the worker that takes it leaves it to the one that runs it",
    "ended": "over, and Redis holds it still; it is dropped when it comes to the queue's head",
    "unknown": "in Redis only: no job of this queue; it is dropped when it comes to the queue's head",
}
"""What is wrong where the two disagree, and who mends it."""

_LATE_MS = 5000
_ON_ITS_WAY_S = 1.0
"""The two are read one after the other, and Redis is told after a commit: what differs is looked at again."""

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Queued:
    """What Redis holds: due now, due later, and what arq's tools call in progress."""

    due: int
    later: int
    running: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """`row` is what Postgres says, `due_ms` (Unix time) what Redis does; None where that one knows nothing of it."""

    id: str
    kind: Kind
    row: Looked | None
    due_ms: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`elsewhere`: what waits or runs on other queues, by their names."""

    queue: str
    workers: int
    redis: Queued
    postgres: Backlog
    elsewhere: Mapping[str, Backlog]
    disagreements: Sequence[Disagreement]


def agree(active: Active, due_ms: float | None, *, now: float) -> bool:
    """Whether they do at first sight, which is quick; where not, `disagreement` tells by the whole row. Pure."""
    if due_ms is None:
        return False
    return due_ms > now if active.due_ms is None else due_ms == active.due_ms


def disagreement(row: Looked | None, due_ms: float | None) -> Kind | None:
    """How the row and what Redis holds of it do not go together. Pure.

    Suspects wait for a ward, which asks Postgres: when Redis has them due means nothing.
    """
    if row is None or row.status.terminal:
        return None if due_ms is None else "unknown" if row is None else "ended"
    now = to_ms(row.read_at)
    if row.status is Status.IN_PROGRESS:
        return "unheld" if due_ms is None else "offered" if due_ms <= now else None
    if due_ms is None:
        return "lost"
    due = max(to_ms(row.due_at), now)
    if row.suspicion or abs(due_ms - due) <= _LATE_MS:
        return None
    if due_ms > due:
        return "late"
    return "early" if due > now else None


async def compare(store: Store, queue: Queue) -> Comparison:
    """Raises Unavailable."""
    held: dict[str, Held] = {}
    async for entries in queue.entries.pages():
        held |= entries
    now, active = now_ms(), {str(row.id): row for row in await _active(store, queue.name)}
    agreed = {job_id for job_id, row in active.items() if agree(row, _due_ms(held, job_id), now=now)}
    odd = [*((held.keys() | active.keys()) - agreed)]
    if odd:
        await asyncio.sleep(_ON_ITS_WAY_S)
    found = [each for at in range(0, len(odd), _PAGE) for each in await _again(store, queue, odd[at : at + _PAGE])]
    backlogs = dict(await store.crew.backlogs())
    return Comparison(
        queue.name,
        await store.leases.alive_workers(queue.name),
        _counted(held.values()),
        backlogs.pop(queue.name, Backlog(0, 0, 0, 0)),
        backlogs,
        found,
    )


async def _active(store: Store, queue: str) -> list[Active]:
    rows: list[Active] = []
    while page := await store.active_page(queue, rows[-1].id if rows else UUID(int=0), _PAGE):
        rows += page
    return rows


async def _again(store: Store, queue: Queue, ids: Sequence[str]) -> list[Disagreement]:
    held = await queue.entries.of(ids)
    rows = {str(row.id): row for row in await store.look_up(queue.name, [UUID(each) for each in ids if _is_id(each)])}
    looked = [(job_id, rows.get(job_id), _due_ms(held, job_id)) for job_id in ids]
    return [
        Disagreement(job_id, kind, row, due_ms)
        for job_id, row, due_ms in looked
        if (kind := disagreement(row, due_ms)) is not None
    ]


def _due_ms(held: Mapping[str, Held], job_id: str) -> float | None:
    return held[job_id].due_ms if job_id in held else None


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _counted(held: Collection[Held]) -> Queued:
    now = now_ms()
    running = sum(each.running for each in held)
    due = sum(not each.running and each.due_ms <= now for each in held)
    return Queued(due, len(held) - running - due, running)
