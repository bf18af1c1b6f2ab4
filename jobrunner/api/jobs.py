"""/v1/jobs: submit, show, list, cancel, retry."""

import logging
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web

from jobrunner.api.intake import check_storable, read_id, read_json, read_query
from jobrunner.api.shapes import (
    Listing,
    Submission,
    accepted_json,
    answer,
    cursor_after,
    job_url,
    step_json,
    validated,
)
from jobrunner.api.waits import Waits, preferred_wait_s
from jobrunner.client import Client
from jobrunner.errors import InvalidRequest, Unavailable
from jobrunner.events import emit
from jobrunner.job import Job, job_json

IDEMPOTENCY_KEY = "Idempotency-Key"


class Jobs:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._waits = Waits(client)

    def add_to(self, app: web.Application) -> None:
        app.add_routes(
            [
                web.post("/v1/jobs", self.submit),
                web.get("/v1/jobs", self.search),
                web.get("/v1/jobs/{id}", self.show),
                web.post("/v1/jobs/{id}/cancel", self.cancel),
                web.post("/v1/jobs/{id}/retry", self.retry),
            ]
        )
        app.on_shutdown.append(self._waits.close)

    async def submit(self, request: web.Request) -> web.Response:
        asked = validated(Submission, _with_header_key(request, await read_json(request)))
        spec = self._client.task(asked.task)
        job = await self._client.submit(spec, spec.validate(asked.params), asked.options())
        headers: dict[str, str] = {hdrs.LOCATION: job_url(job.id)}
        if wait_s := preferred_wait_s(request):
            headers["Preference-Applied"] = f"wait={wait_s}"
            if (ended := await self._ended(job.id, wait_s)) is not None:
                return answer(ended, headers=headers)
        return answer(accepted_json(job), status=202, headers=headers)

    async def show(self, request: web.Request) -> web.Response:
        job_id = read_id(request, "job")
        headers = {}
        job: Job | None = None
        if wait_s := preferred_wait_s(request):
            headers["Preference-Applied"] = f"wait={wait_s}"
            job = await self._waits.ended(job_id, wait_s)
        return answer(await self._full(job or await self._client.get(job_id)), headers=headers)

    async def search(self, request: web.Request) -> web.Response:
        listing = validated(Listing, read_query(request))
        found = await self._client.search(listing.filter())
        page, has_more = found[: listing.limit], len(found) > listing.limit
        artifacts = await self._client.artifacts([job.id for job in page]) if page else []
        return answer(
            {
                "data": [job_json(job, artifacts) for job in page],
                "next_cursor": cursor_after(page[-1]) if has_more else None,
                "has_more": has_more,
            }
        )

    async def cancel(self, request: web.Request) -> web.Response:
        return answer(await self._full(await self._client.cancel(read_id(request, "job"))), status=202)

    async def retry(self, request: web.Request) -> web.Response:
        return answer(await self._full(await self._client.retry(read_id(request, "job"))), status=202)

    async def _full(self, job: Job) -> dict[str, Any]:
        steps = await self._client.steps(job.id)
        artifacts = await self._client.artifacts([job.id])
        return {**job_json(job, artifacts), "steps": [step_json(step) for step in steps]}

    async def _ended(self, job_id: UUID, wait_s: int) -> dict[str, Any] | None:
        """The job is accepted already: an outage while we wait must not make the caller submit it again."""
        try:
            job = await self._waits.ended(job_id, wait_s)
            return None if job is None else await self._full(job)
        except Unavailable as error:
            emit("wait.interrupted", logging.WARNING, job_id=str(job_id), error=str(error))
            return None


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
