"""Whatever the document allows, and what it forbids: the server never breaks, and answers as documented.

FUZZ_CASES says how many requests each route gets; `.ci/long` asks for many more than these few.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from jobrunner.settings import Settings
from jobrunner.settings.tables import SCOPES
from tests.integration.api.conftest import submission
from tests.integration.api.keyring import PNG, Keyring, bearer, keyed

CASES = int(os.environ.get("FUZZ_CASES", "50"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ANSWER_S = 30.0
ADMIN = "admin"


@pytest.fixture
def ring(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keyring]:
    """A key for each scope, and one that is bound to a user; nobody is kept waiting."""
    for longest in ("waits.LONGEST_S", "streams.watching.LONGEST_S"):
        monkeypatch.setattr(f"jobrunner.api.{longest}", 0.01)
    rows: dict[str, dict[str, Any]] = {scope: {"scopes": (scope,)} for scope in SCOPES}
    rows["bound"] = {"scopes": (ADMIN,), "user_id": "u2"}
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(keyed(settings, **rows)) as ring:
        yield ring


@pytest.fixture
def session(ring: Keyring) -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def an_id(ring: Keyring, session: requests.Session, path: str) -> str:
    """Of something that there is: an ended job, whose stream of events ends at once, or a picture."""
    headers = bearer(ring.keys[ADMIN])
    if path.startswith("/v1/artifacts"):
        return str(session.post(f"{ring.url}/v1/artifacts", data=PNG, headers=headers).json()["id"])
    made = session.post(f"{ring.url}/v1/jobs", json=submission(delay_s=3600), headers=headers).json()
    session.post(f"{ring.url}/v1/jobs/{made['id']}/cancel", headers=headers).raise_for_status()
    return str(made["id"])


def test_every_route_answers_as_documented(ring: Keyring, session: requests.Session, subtests: pytest.Subtests) -> None:
    schema = schemathesis.openapi.from_dict(session.get(f"{ring.url}/openapi.json").json())
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # the document is valid
        with subtests.test(operation.label):
            fuzz(ring, session, operation)


def fuzz(ring: Keyring, session: requests.Session, operation: Any) -> None:
    known = an_id(ring, session, operation.path) if "{id}" in operation.path else None
    as_allowed = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    as_forbidden = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    allowed: Any = [not_a_server_error] if operation.path == "/readyz" else []  # it says so of itself
    whose = st.sampled_from((*[ADMIN] * 3, *ring.keys, None))

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(case=st.one_of(as_allowed, as_forbidden), key=whose, knows=st.booleans())
    def ask(case: Case[Any], key: str | None, knows: bool) -> None:
        if known is not None and knows:
            case.path_parameters = {**(case.path_parameters or {}), "id": known}
        headers = {} if key is None else bearer(ring.keys[key])
        answer = case.call(base_url=ring.url, session=session, headers=headers, timeout=ANSWER_S)
        case.validate_response(answer, checks=CHECKS, excluded_checks=allowed)

    ask()
