"""What all endpoints of Replicate's protocol share: its problem JSON and the key."""

from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from jobrunner.sandbox.shop import Refusal, answering

API_KEY: Final = "test-key"


class Problem(Refusal):
    """An answer that is an error, in Replicate's problem JSON."""

    def __init__(self, status: int, detail: str, title: str = "", **more: Any) -> None:
        title = title or HTTPStatus(status).phrase
        super().__init__(status, {"title": title, "detail": detail, "status": status, **more})

    def response(self) -> web.Response:
        response = super().response()
        response.content_type = "application/problem+json"
        return response


REFUSALS: Final = {
    "429": Problem(429, "Request was throttled. Your rate limit resets in ~1s."),
    "quota": Problem(402, "You have insufficient credit to run this model. Add credit.", "Insufficient credit"),
    "503": Problem(503, "The service is overloaded."),
    "500": Problem(500, "An unexpected error occurred."),
}


def nowhere() -> Problem:
    return Problem(404, "The requested resource could not be found.")


def invalid(field: str, description: str) -> Problem:
    fields = [{"type": "invalid", "field": field, "description": description}]
    return Problem(422, f"- {field}: {description}\n", "Input validation failed", invalid_fields=fields)


def _authenticate(request: web.Request) -> None:
    """Files are open to whoever knows their URL, as the real ones are."""
    api = not request.path.startswith("/replicate/files/")
    if api and request.headers.get("Authorization") != f"Bearer {API_KEY}":
        raise Problem(401, "You did not pass a valid authentication token", "Unauthenticated")


answer_problems: Final = answering(_authenticate, Problem)
