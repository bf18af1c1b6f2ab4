"""/v1/jobs: submit, show, list, cancel, retry."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web

from jobrunner.api.answers import Accepted, JobWithSteps
from jobrunner.api.answers import Jobs as Page
from jobrunner.api.guard.ownership import owned_params
from jobrunner.api.guard.seats import Seats
from jobrunner.api.intake import check_storable, read_json, read_query
from jobrunner.api.routes import Caller, Route, caller_of, seen_job
from jobrunner.api.shapes import (
    Listing,
    Submission,
    accepted_json,
    answer,
    job_url,
    validated,
    write_cursor,
)
from jobrunner.api.waits import Waits, preferred_wait_s
from jobrunner.api.whole import whole_job
from jobrunner.client import Client
from jobrunner.errors import InvalidRequest, TooManyJobs, Unavailable
from jobrunner.events import emit
from jobrunner.job import Job, job_json
from jobrunner.store.rows import new_id

IDEMPOTENCY_KEY = "Idempotency-Key"

MOST_WAITING = 5000
"""Submissions that wait for Postgres: a second's worth, and a few megabytes. Who comes then would wait longer than
callers do, and be kept when nobody listens any more."""


class Jobs:
    def __init__(self, client: Client, waits: Waits, seats: Seats) -> None:
        self._client = client
        self._seats = seats
        self._waits = waits

    def routes(self) -> Iterable[Route]:
        yield Route(
            *("POST", "/v1/jobs", self.submit, "submit", "Submit a job"),
            body=Submission,
            answers={200: JobWithSteps, 202: Accepted},
            headers=(IDEMPOTENCY_KEY, "Prefer", "Preference-Applied", "Location"),
            problems=("unknown_task", "invalid_params", "idempotency_key_reused", "url_not_allowed", "too_many_jobs"),
        )
        yield Route(
            *("GET", "/v1/jobs", self.search, "read", "List jobs, newest first"), query=Listing, answers={200: Page}
        )
        yield Route(
            *("GET", "/v1/jobs/{id}", self.show, "read", "Show a job"),
            answers={200: JobWithSteps},
            headers=("Prefer", "Preference-Applied"),
        )
        for verb, handler, summary in (
            ("cancel", self.cancel, "Cancel a job"),
            ("retry", self.retry, "Run a failed or cancelled job again"),
        ):
            path = f"/v1/jobs/{{id}}/{verb}"
            yield Route("POST", path, handler, "operate", summary, answers={202: JobWithSteps}, problems=("conflict",))

    async def submit(self, request: web.Request) -> web.Response:
        asked = validated(Submission, _with_header_key(request, await read_json(request)))
        job = await take(self._client, self._seats, caller_of(request), asked)
        headers: dict[str, str] = {hdrs.LOCATION: job_url(job.id)}
        if wait_s := preferred_wait_s(request):
            headers["Preference-Applied"] = f"wait={wait_s}"
            if (ended := await self._ended(job.id, wait_s)) is not None:
                return answer(ended, headers=headers)
        return answer(accepted_json(job), status=202, headers=headers)

    async def show(self, request: web.Request) -> web.Response:
        job = await seen_job(request, self._client)
        headers = {}
        if wait_s := preferred_wait_s(request):
            headers["Preference-Applied"] = f"wait={wait_s}"
            job = await self._waits.ended(job.id, wait_s) or await self._client.get(job.id)
        return answer(await whole_job(self._client, job), headers=headers)

    async def search(self, request: web.Request) -> web.Response:
        listing = validated(Listing, read_query(request))
        caller = caller_of(request)
        if not caller.sees(listing.user_id or caller.user_id):
            return answer({"data": [], "next_cursor": None, "has_more": False})
        wanted = listing.filter(listing.limit + 1)  # one more than the page holds shows whether another follows
        found = await self._client.search(replace(wanted, user_id=listing.user_id or caller.user_id))
        page, has_more = found[: listing.limit], len(found) > listing.limit
        artifacts = await self._client.artifacts([job.id for job in page]) if page else []
        return answer(
            {
                "data": [job_json(job, artifacts) for job in page],
                "next_cursor": write_cursor(page[-1].created_at, page[-1].id) if has_more else None,
                "has_more": has_more,
            }
        )

    async def cancel(self, request: web.Request) -> web.Response:
        job = await seen_job(request, self._client)
        return answer(await whole_job(self._client, await self._client.cancel(job.id)), status=202)

    async def retry(self, request: web.Request) -> web.Response:
        job = await seen_job(request, self._client)
        again = await self._seats.seated(caller_of(request), self._client.retry, job.id)
        return answer(await whole_job(self._client, again), status=202)

    async def _ended(self, job_id: UUID, wait_s: int) -> dict[str, Any] | None:
        """The job is accepted already: an outage while we wait must not make the caller submit it again."""
        try:
            job = await self._waits.ended(job_id, wait_s)
            return None if job is None else await whole_job(self._client, job)
        except Unavailable as error:
            emit("wait.interrupted", logging.WARNING, job_id=str(job_id), error=str(error))
            return None


async def take(client: Client, seats: Seats, caller: Caller, asked: Submission) -> Job:
    """What every submission goes through, alone or in a batch. Raises RequestError, Unavailable."""
    if client.waiting_submits >= MOST_WAITING:
        raise Unavailable(
            f"More jobs come in than Postgres can write down: {MOST_WAITING:,} wait already. This one was not kept.",
            retry_after_s=1.0,
        )
    spec = client.task(asked.task)
    params = owned_params(caller, spec, asked.params)

    async def submit(id: UUID) -> Job:
        return await client.submit(spec, params, asked.options(), caller_user=caller.user_id, id=id)

    try:
        return await seats.seated(caller, submit)
    except TooManyJobs:
        if not await client.knows_key(asked.idempotency_key, caller_user=caller.user_id):
            raise
        return await submit(new_id())  # no new job: it needs no seat


def _with_header_key(request: web.Request, body: dict[str, Any]) -> dict[str, Any]:
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return body
    check_storable({IDEMPOTENCY_KEY: key})
    if body.get("idempotency_key") not in (None, key):
        message = f"differs from the {IDEMPOTENCY_KEY} header; send one of them"
        raise InvalidRequest(
            f"idempotency_key: {message}",
            [{"path": "idempotency_key", "message": message, "type": "idempotency_key_ambiguous"}],
        )
    return {**body, "idempotency_key": key}
