"""Two tenants and every route: what is A's is A's, and a route that nobody has thought about fails here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from jobrunner.api import make_app
from jobrunner.api.routes import ROUTES, Route
from jobrunner.settings import Settings
from jobrunner.settings.tables import SCOPES
from tests.integration.api.conftest import submission, submit
from tests.integration.api.keyring import PNG, Keyring, keyed, upload

CANARY = "canary-of-a"
WORKING = ("submit", "read", "operate")


@dataclass(frozen=True)
class Case:
    """How the route is asked for what is A's, and which status B gets. Whatever B gets holds nothing of A's.

    `tenants`: whether it answers who is bound to a user at all.
    """

    to_b: int
    query: Mapping[str, str] | None = None
    body: Any = None
    tenants: bool = True


FOR_A = submission(params={"user_id": "a"})
OPEN = {
    *("GET /", "GET /livez", "GET /readyz", "GET /startupz", "GET /openapi.json", "GET /docs", "GET /docs/page.css"),
    "POST /v1/hooks/{provider}/{token}",
    *("GET /v1/session", "POST /v1/session", "DELETE /v1/session"),
}
"""Routes that ask nobody for a key."""
MATRIX = {
    "GET /metrics": Case(403, tenants=False),
    "GET /v1/overview": Case(200),
    "GET /v1/tasks": Case(200),
    "POST /v1/jobs": Case(403, body=FOR_A),
    "POST /v1/jobs:batch": Case(200, body={"jobs": [FOR_A]}),
    "POST /v1/jobs:cancel": Case(200, body={"task": "api_paint"}),
    "POST /v1/jobs:retry": Case(200, body={"task": "api_paint"}),
    "GET /v1/jobs": Case(200, query={"task": "api_paint"}),
    "GET /v1/jobs/{id}": Case(404),
    "POST /v1/jobs/{id}/cancel": Case(404),
    "POST /v1/jobs/{id}/retry": Case(404),
    "GET /v1/jobs/{id}/events": Case(404),
    "GET /v1/jobs/{id}/logs": Case(404),
    "GET /v1/jobs/{id}/preview": Case(404),
    "GET /v1/events": Case(403, query={"user_id": "a"}),
    "GET /v1/jobs/{id}/webhooks": Case(404),
    "POST /v1/jobs/{id}/webhooks/replay": Case(404),
    "POST /v1/artifacts": Case(403, query={"user_id": "a"}),
    "GET /v1/artifacts": Case(200),
    "GET /v1/artifacts/{id}": Case(404),
    "POST /v1/artifacts/{id}/url": Case(404),
}


@dataclass(frozen=True)
class House:
    """A server with a job and a file of A's in it."""

    ring: Keyring
    database_url: str
    ids: Mapping[str, str]

    async def status(self, name: str | None, method: str, path: str, case: Case) -> int:
        """What the key `name` is answered."""
        for prefix, id in self.ids.items():
            if path.startswith(prefix):
                path = path.replace("{id}", id)
        async with (
            self.ring.session(name) as http,
            http.request(method, path, params=case.query, json=case.body) as answer,
        ):
            if name not in {"a", "any"}:  # what its owner gets may be a picture, or a stream without end
                assert CANARY not in await answer.text()
            return answer.status

    async def of_a(self) -> list[Any]:
        """All rows that are A's."""
        connection = await asyncpg.connect(self.database_url)
        try:
            jobs = await connection.fetch("SELECT * FROM jobrunner.jobs WHERE user_id = 'a' ORDER BY id")
            return [*jobs, *await connection.fetch("SELECT * FROM jobrunner.artifacts WHERE user_id = 'a' ORDER BY id")]
        finally:
            await connection.close()


async def furnished(ring: Keyring, database_url: str) -> House:
    async with ring.session("a") as http:
        job_id = await submit(http, params={"colour": CANARY})
        artifact_id = (await upload(http)).rpartition("/")[2]
    await ring.runtime.notices.previews.put(UUID(job_id), PNG)
    return House(ring, database_url, {"/v1/jobs": job_id, "/v1/artifacts": artifact_id})


async def test_every_route_keeps_tenants_apart(
    settings: Settings, database_url: str, subtests: pytest.Subtests
) -> None:
    lacking = {f"no_{scope}": {"scopes": tuple(SCOPES - {scope, "admin"})} for scope in SCOPES}
    bound = {name: {"scopes": WORKING, "user_id": name} for name in ("a", "b")}
    async with keyed(settings, any={"scopes": ("admin",)}, **lacking, **bound) as ring:
        house = await furnished(ring, database_url)
        routes = make_app(ring.runtime)[ROUTES]
        assert {*MATRIX, *OPEN} <= {_name(route) for route in routes.values()}, "a route is gone"
        for known, route in routes.items():
            with subtests.test(method=known.method, path=route.path):
                await _check(house, known.method, route)


async def _check(house: House, method: str, route: Route) -> None:
    if route.scope is None:
        assert _name(route) in OPEN, "a route that is open to everyone must be listed in OPEN"
        return
    case = MATRIX.get(_name(route))
    assert case is not None, "a route must be named in the MATRIX, with what another tenant may get from it"
    before = await house.of_a()
    assert await house.status(None, method, route.path, case) == 401
    assert await house.status(f"no_{route.scope}", method, route.path, case) == 403
    assert await house.status("b", method, route.path, case) == case.to_b
    assert await house.of_a() == before
    for owner in ("a", "any") if case.tenants else ("any",):
        assert await house.status(owner, method, route.path, case) in {200, 201, 202, 409, 415}


def _name(route: Route) -> str:
    return f"{route.method} {route.path}"
