"""/v1/jobs/{id}/logs and /preview: what a job's task says and shows of its work."""

import re
from collections.abc import Iterable
from typing import Annotated

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

from jobrunner.api.answers import Logs as Page
from jobrunner.api.intake import read_query
from jobrunner.api.routes import Route, seen_job
from jobrunner.api.shapes import Word, answer, no_cursor, validated
from jobrunner.broker.previews import TYPES, Previews
from jobrunner.client import Client
from jobrunner.client.showing import line_json
from jobrunner.errors import PreviewNotFound
from jobrunner.media import sniff
from jobrunner.store.logs import KEPT, Place

_CURSOR = re.compile(r"(\d{1,18})\.(\d{1,9})", re.ASCII)


class Reading(BaseModel):
    """The query of a job's log. `cursor` is the `next_cursor` of the answer before, also to hear what is said later."""

    model_config = ConfigDict(extra="forbid")

    cursor: Word | None = None
    limit: Annotated[int, Field(ge=1, le=KEPT)] = 200

    def after(self) -> Place:
        """Raises InvalidRequest."""
        if self.cursor is None:
            return 0, 0
        found = _CURSOR.fullmatch(self.cursor)
        if found is None:
            raise no_cursor()
        return int(found[1]), int(found[2])


class Looking(BaseModel):
    """The query of a preview. `version` may be anything: a new one makes a new URL, which a browser asks for anew."""

    model_config = ConfigDict(extra="forbid")

    version: Word | None = None


class Journal:
    def __init__(self, client: Client, previews: Previews) -> None:
        self._client = client
        self._previews = previews

    def routes(self) -> Iterable[Route]:
        yield Route(
            *("GET", "/v1/jobs/{id}/logs", self.read, "read", "What the job's task logged, oldest first"),
            query=Reading,
            answers={200: Page},
        )
        yield Route(
            *("GET", "/v1/jobs/{id}/preview", self.look, "read", "The newest picture of the job's work so far"),
            query=Looking,
            answers={200: "image/*"},
            problems=("preview_not_found",),
        )

    async def read(self, request: web.Request) -> web.Response:
        asked = validated(Reading, read_query(request))
        after = asked.after()
        job = await seen_job(request, self._client)
        found = await self._client.log_page(job.id, after, asked.limit + 1)
        page = found[: asked.limit]
        attempt, number = page[-1].place if page else after
        return answer(
            {
                "data": [line_json(line) for line in page],
                "next_cursor": f"{attempt}.{number}" if attempt else None,
                "has_more": len(found) > asked.limit,
            }
        )

    async def look(self, request: web.Request) -> web.Response:
        validated(Looking, read_query(request))
        job = await seen_job(request, self._client)
        picture = await self._previews.get(job.id)
        mime = sniff(picture[:16])
        if mime not in TYPES:
            raise PreviewNotFound(
                f"Job {job.id} shows no preview now: its task has made none in this attempt, or it has ended."
            )
        return web.Response(body=picture, content_type=mime, headers={hdrs.CACHE_CONTROL: "no-store"})
