"""One verb for all jobs that fit a filter: a page a transaction, newest first, each job once."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from jobrunner.errors import InvalidRequest
from jobrunner.job import Job, Status
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Filter

_PAGE = 200
"""How many rows one transaction locks: workers that end these jobs wait for it."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How many jobs fitted, and how many of them the verb changed; the others had moved on meanwhile.

    `after`: where the next call goes on (`Filter.after`); None once there is nothing left.
    """

    matched: int
    changed: int
    after: tuple[datetime, UUID] | None


def in_states(wanted: Filter, states: Sequence[Status], verb: str) -> Filter:
    """`wanted` in those `states` to which the verb applies. Raises InvalidRequest if it names another one."""
    if foreign := sorted(set(wanted.status) - set(states)):
        message = f"{', '.join(foreign)} jobs cannot be {verb}, only {' and '.join(states)} ones"
        raise InvalidRequest(f"status: {message}.", [{"path": "status", "message": message, "type": "status_foreign"}])
    return wanted if wanted.status else replace(wanted, status=tuple(states))


async def page_by_page(store: Store, wanted: Filter, act: Callable[[Sequence[Job]], Awaitable[int]]) -> Changes:
    """`act` on the next `wanted.limit` jobs; it answers how many it changed. Raises Unavailable."""
    matched = changed = 0
    after = wanted.after
    while True:
        size = min(_PAGE, wanted.limit - matched)
        found = await store.search(replace(wanted, limit=size + 1, after=after))
        page = found[:size]
        if page:
            changed += await act(page)
            after = (page[-1].created_at, page[-1].id)
        matched += len(page)
        if len(found) <= size:
            return Changes(matched, changed, None)
        if matched == wanted.limit:
            return Changes(matched, changed, after)
