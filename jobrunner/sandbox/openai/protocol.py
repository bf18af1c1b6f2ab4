"""What all endpoints of the OpenAI protocol share: the error body, the key, the request id, reading a body."""

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from jobrunner.sandbox import ledger
from jobrunner.sandbox.faults import WORD, refuse, word_in
from jobrunner.sandbox.state import State

API_KEY: Final = "test-key"
NAME: Final = "openai"
REQUEST_ID = web.RequestKey("request_id", str)
Parts = Mapping[str, list[bytes]]
"""The files of a multipart request by the names of their parts."""


class ApiError(Exception):
    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.status, self.error = status, {"message": message, "type": type, "param": param, "code": code}

    def response(self) -> web.Response:
        return answered({"error": self.error}, status=self.status)


def answered(body: Mapping[str, Any], *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def invalid(param: str, message: str, *, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, code=code, param=param)


REFUSALS: Final = {
    "429": ApiError(429, "Rate limit reached.", code="rate_limit_exceeded", type="requests"),
    "quota": ApiError(
        429,
        "You exceeded your current quota.",
        code="insufficient_quota",
        type="insufficient_quota",
    ),
    "503": ApiError(503, "The server is currently overloaded.", code="server_error", type="server_error"),
    "500": ApiError(500, "The server had an error while processing.", code="server_error", type="server_error"),
}


class Refused(Exception):
    """A word in a prompt refuses this try. `word` says how."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


def fate_of(state: State, request: web.Request, prompt: str, digest: str) -> str:
    """The fault word of this create. Raises Refused, or ApiError where the prompt asks for a refusal for good."""
    word = request[WORD] or word_in(prompt)
    if state.faults.refuses(word, digest):
        raise Refused(word)
    return word


def rejected(word: str, type: str = "invalid_request_error") -> ApiError:
    """For [fail] and [moderation] where the create itself is refused."""
    if word == "fail":
        return ApiError(400, "The prompt asked to fail with [fail].", code="invalid_value", type=type)
    message = "Your request was rejected as a result of our safety system."
    return ApiError(400, message, code="moderation_blocked", type=type)


def sell(state: State, id: str, digest: str, prompt: str, price_usd: float) -> None:
    ledger.record(state.db, ledger.Purchase(NAME, id, digest, prompt, time.time(), round(price_usd, 6)))


@web.middleware
async def answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    request[REQUEST_ID] = f"req_{secrets.token_hex(16)}"
    try:
        _authenticate(request)
        return await handler(request)
    except ApiError as error:
        return error.response()
    except Refused as refusal:
        return refuse(REFUSALS, refusal.word)
    except web.HTTPException as error:
        return ApiError(error.status, f"{error.reason}: {request.method} {request.path}").response()


async def sign(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["x-request-id"] = request[REQUEST_ID]


def _authenticate(request: web.Request) -> None:
    if request.headers.get("Authorization") != f"Bearer {API_KEY}":
        raise ApiError(401, f"Incorrect API key provided. The sandbox knows {API_KEY}.", code="invalid_api_key")


async def read_json(request: web.Request, known: frozenset[str]) -> dict[str, Any]:
    """The body, whose parameters are all `known`."""
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise ApiError(400, "We could not parse the JSON body of your request.")
    check_names(body, known)
    return body


async def read_form(request: web.Request) -> tuple[dict[str, Any], Parts]:
    """The fields of a multipart body, numbers as numbers, and its files."""
    if not request.content_type.startswith("multipart/"):
        raise ApiError(400, "This endpoint takes multipart/form-data.")
    fields: dict[str, Any] = {}
    files: dict[str, list[bytes]] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            with value.file as file:
                files.setdefault(name, []).append(file.read())
        elif isinstance(value, str):
            fields[name] = int(value) if re.fullmatch(r"\d{1,9}", value) else value
    return fields, files


def check_names(body: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in body:
        if name not in known:
            raise ApiError(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)


def check_text(name: str, text: Any, max_chars: int) -> str:
    if not text:
        raise invalid(name, f"Missing required parameter: '{name}'.", code="missing_required_parameter")
    if not isinstance(text, str):
        raise invalid(name, f"Invalid type for '{name}': expected a string.", code="invalid_type")
    if len(text) > max_chars:
        raise invalid(name, f"Invalid '{name}': string too long.", code="string_above_max_length")
    return text
