"""Routes as data. The router, the guard at the door, the OpenAPI document and the tests' matrix are made from them."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from aiohttp import hdrs, web
from pydantic import BaseModel

from jobrunner.api.intake import read_id
from jobrunner.client import Client
from jobrunner.errors import NotFound
from jobrunner.job import Job
from jobrunner.settings.tables import Scope

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. One that is bound to a user sees and touches only what is that user's. None of a limit: no limit."""

    name: str
    scopes: frozenset[Scope]
    user_id: str | None = None
    requests_per_minute: int | None = None
    jobs_at_once: int | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes

    def sees(self, user_id: str | None) -> bool:
        """Whether what belongs to `user_id` (None: to nobody) may be shown to it."""
        return self.user_id is None or self.user_id == user_id


@dataclass(frozen=True, slots=True)
class Route:
    """`scope` None: open to everyone. What follows `summary` is documented, and tests hold the answers to it.

    `body` and `answers` (by status) are models of JSON; a media type, where something else travels; None, where nothing
    does. `headers` are those of `api.headers` that matter here, `problems` the words of `api.codes` that this route can
    answer beyond what every route of its kind can.
    """

    method: str
    path: str
    handler: Handler
    scope: Scope | None
    summary: str
    query: type[BaseModel] | None = None
    body: type[BaseModel] | str | None = None
    answers: Mapping[int, type[BaseModel] | str | None] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


CALLER = web.RequestKey("caller", Caller)
ROUTES = web.AppKey("routes", dict[web.AbstractRoute, Route])


def add_routes(app: web.Application, routes: Iterable[Route]) -> None:
    """HEAD is answered wherever GET is."""
    app[ROUTES] = {}
    for route in routes:
        resource = app.router.add_resource(route.path)
        for method in (route.method, hdrs.METH_HEAD) if route.method == hdrs.METH_GET else (route.method,):
            app[ROUTES][resource.add_route(method, route.handler)] = route


def route_of(request: web.Request) -> Route | None:
    """None where the path or method is not ours."""
    return request.app[ROUTES].get(request.match_info.route)


def caller_of(request: web.Request) -> Caller:
    return request[CALLER]


async def seen_job(request: web.Request, client: Client) -> Job:
    """The path's job, if its caller may see it. Raises NotFound, Unavailable."""
    job = await client.get(read_id(request, "job"))
    if not caller_of(request).sees(job.user_id):
        raise NotFound(f"There is no job {job.id}.")
    return job
