"""GET /v1/artifacts: what jobs made, the newest first."""

from collections.abc import Iterable
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from jobrunner.api.answers import Artifacts
from jobrunner.api.intake import read_query
from jobrunner.api.routes import Route, caller_of
from jobrunner.api.shapes import Word, answer, read_cursor, validated, write_cursor
from jobrunner.job import artifact_json
from jobrunner.store.gallery import Gallery as Kept
from jobrunner.store.gallery import Made, Wanted
from jobrunner.work import Kind


class Viewing(BaseModel):
    """The query of GET /v1/artifacts: files that fit all that is given."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = None
    task: Word | None = None
    user_id: Word | None = None
    cursor: Word | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class Gallery:
    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def routes(self) -> Iterable[Route]:
        summary = "List what jobs made, newest first"
        yield Route("GET", "/v1/artifacts", self.show, "read", summary, query=Viewing, answers={200: Artifacts})

    async def show(self, request: web.Request) -> web.Response:
        asked = validated(Viewing, read_query(request))
        caller = caller_of(request)
        user_id = asked.user_id or caller.user_id
        found: list[Made] = []
        if caller.sees(user_id):
            after = None if asked.cursor is None else read_cursor(asked.cursor)
            found = await self._kept.newest(Wanted(asked.kind, asked.task, user_id, asked.limit + 1, after))
        page, has_more = found[: asked.limit], len(found) > asked.limit
        return answer(
            {
                "data": [_shown(each) for each in page],
                "next_cursor": write_cursor(page[-1].created_at, page[-1].artifact.id) if has_more else None,
                "has_more": has_more,
            }
        )


def _shown(made: Made) -> dict[str, Any]:
    file = made.artifact
    whose = {"job_id": file.job_id, "task": made.task, "user_id": file.user_id, "created_at": made.created_at}
    return {**artifact_json(file), **whose}
