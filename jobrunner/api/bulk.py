"""/v1/jobs:batch, :cancel and :retry: many jobs in one call."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import orjson
from aiohttp import web

from jobrunner.api import answers
from jobrunner.api.guard.ownership import owner
from jobrunner.api.guard.seats import Seats
from jobrunner.api.intake import check_storable, read_json
from jobrunner.api.jobs import IDEMPOTENCY_KEY, take
from jobrunner.api.problems import problem_of
from jobrunner.api.routes import Caller, Route, caller_of
from jobrunner.api.shapes import Batch, Matching, Submission, accepted_json, answer, validated, write_cursor
from jobrunner.client import Client
from jobrunner.client.matching import Changes
from jobrunner.errors import InvalidRequest, RequestError, Unavailable
from jobrunner.job import Job
from jobrunner.store.rows import Filter

_BODIES = 16
"""A batch may be as large as so many bodies of one submission."""

_AT_ONCE = 500
"""So many go into one statement; between two, others have their turn."""

Taken = Job | RequestError | Unavailable


class Bulk:
    def __init__(self, client: Client, seats: Seats) -> None:
        self._client = client
        self._seats = seats

    def routes(self) -> Iterable[Route]:
        yield Route(
            *("POST", "/v1/jobs:batch", self.submit, "submit", "Submit many jobs, each answered for itself"),
            body=Batch,
            answers={200: answers.BatchAnswer},
        )
        for verb, handler, summary in (
            ("cancel", self.cancel, "Cancel all jobs that fit a filter"),
            ("retry", self.retry, "Run all failed or cancelled jobs that fit a filter again"),
        ):
            yield Route(
                "POST", f"/v1/jobs:{verb}", handler, "operate", summary, body=Matching, answers={200: answers.Changes}
            )

    async def submit(self, request: web.Request) -> web.Response:
        if IDEMPOTENCY_KEY in request.headers:
            message = "means one job; give each job of the batch its own `idempotency_key`"
            raise InvalidRequest(
                f"{IDEMPOTENCY_KEY}: {message}.",
                [{"path": IDEMPOTENCY_KEY, "message": message, "type": "not_of_batches"}],
            )
        larger = request.clone(client_max_size=_BODIES * request.client_max_size)
        batch = validated(Batch, await read_json(larger, listed="jobs"))
        taken = await self._take_all(caller_of(request), batch.jobs)
        return answer({"data": [_item(each) for each in taken]})

    async def _take_all(self, caller: Caller, jobs: Sequence[object]) -> list[Taken]:
        """Raises Unavailable where nobody could be answered."""
        taken: list[Taken] = []
        for first in range(0, len(jobs), _AT_ONCE):
            part = jobs[first : first + _AT_ONCE]
            taken += await asyncio.gather(*(self._take(caller, each) for each in part))
            away = next((each for each in taken if isinstance(each, Unavailable)), None)
            if away is not None:
                if all(isinstance(each, Unavailable) for each in taken):
                    raise away
                return taken + [away] * (len(jobs) - len(taken))  # who is away keeps each part waiting for seconds
        return taken

    async def _take(self, caller: Caller, asked: Any) -> Taken:
        try:
            if isinstance(asked, dict):
                check_storable(asked)
            return await take(self._client, self._seats, caller, validated(Submission, asked))
        except (RequestError, Unavailable) as error:
            return error

    async def cancel(self, request: web.Request) -> web.Response:
        return await _changed(request, self._client.cancel_matching)

    async def retry(self, request: web.Request) -> web.Response:
        return await _changed(request, self._client.retry_matching)


def _item(taken: Taken) -> dict[str, Any]:
    if isinstance(taken, Job):
        return {"status": 202, "job": accepted_json(taken)}
    refusal = problem_of(taken, request_id="")
    return {"status": refusal.status, "problem": orjson.Fragment(cast("bytes", refusal.body))}


async def _changed(request: web.Request, verb: Callable[[Filter], Awaitable[Changes]]) -> web.Response:
    asked = validated(Matching, await read_json(request))
    wanted = replace(asked.filter(asked.limit), user_id=owner(caller_of(request), asked.user_id))
    changes = await verb(wanted)
    return answer(
        {
            "matched": changes.matched,
            "changed": changes.changed,
            "next_cursor": None if changes.after is None else write_cursor(*changes.after),
            "has_more": changes.after is not None,
        }
    )
