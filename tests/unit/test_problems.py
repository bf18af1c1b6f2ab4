"""Each kind of error as its problem document."""

import json
import logging
from typing import Any

import pytest
from aiohttp import web

from jobrunner.api.guard.door import is_loopback
from jobrunner.api.problems import CONTENT_TYPE, problem_of
from jobrunner.errors import Conflict, InvalidRequest, NotFound, TooManyRequests, Unavailable
from jobrunner.events import Event, subscribe


def read(response: web.Response) -> dict[str, Any]:
    assert response.content_type == CONTENT_TYPE
    assert isinstance(response.body, bytes)
    document: dict[str, Any] = json.loads(response.body)
    assert set(document) == {"type", "title", "status", "detail", "code", "retryable", "errors"}
    assert document["type"] == f"urn:jobrunner:{document['code']}"
    assert document["status"] == response.status
    return document


@pytest.mark.parametrize(
    ("error", "status", "code", "retryable"),
    [
        (NotFound("no"), 404, "not_found", False),
        (Conflict("no"), 409, "conflict", False),
        (InvalidRequest("no", [{"path": "a", "message": "b", "type": "c"}]), 422, "invalid_request", False),
        (TooManyRequests("no"), 429, "too_many_requests", True),
        (Unavailable("no"), 503, "unavailable", True),
        (TimeoutError(), 503, "unavailable", True),
        (web.HTTPNotFound(), 404, "not_found", False),
        (web.HTTPRequestEntityTooLarge(10, 20), 413, "body_too_large", False),
        (web.HTTPRequestTimeout(), 408, "request_timeout", True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_known_errors(error: Exception, status: int, code: str, retryable: bool) -> None:
    document = read(problem_of(error, request_id="r1"))
    assert (document["status"], document["code"], document["retryable"]) == (status, code, retryable)
    assert document["detail"]


@pytest.mark.parametrize("kind", [Unavailable, TooManyRequests])
def test_what_may_go_well_later_says_when(kind: type[Unavailable | TooManyRequests]) -> None:
    response = problem_of(kind("Postgres is away", retry_after_s=2.1), request_id="r1")
    assert response.headers["Retry-After"] == "3"


def test_not_allowed_keeps_the_methods_that_are() -> None:
    response = problem_of(web.HTTPMethodNotAllowed("PUT", {"GET", "POST"}), request_id="r1")
    assert response.headers["Allow"] == "GET,POST"
    assert "Allow header" in read(response)["detail"]


def test_an_unexpected_error_goes_to_the_log_and_not_to_the_caller() -> None:
    heard: list[Event] = []
    error = RuntimeError("password=hunter2")
    with subscribe(heard.append):
        document = read(problem_of(error, request_id="r1"))
    assert document["code"] == "internal_error"
    assert "hunter2" not in json.dumps(document)
    assert "r1" in document["detail"]
    assert [(each.name, each.level, each.fields["exception"]) for each in heard] == [
        ("api.error", logging.ERROR, error)
    ]


def test_quoted_surrogates_do_not_break_the_answer() -> None:
    document = read(problem_of(InvalidRequest("a\ud800", [{"path": "b\udfff"}]), request_id="r1"))
    assert document["detail"] == "a\\ud800"
    assert document["errors"] == [{"path": "b\\udfff"}]


def test_a_thousand_errors_are_shown_in_part() -> None:
    errors = [{"path": str(number)} for number in range(1000)]
    assert len(read(problem_of(InvalidRequest("many", errors), request_id="r1"))["errors"]) == 20


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("jobs.localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
    ],
)
def test_what_counts_as_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
