"""Every error as a problem document (RFC 9457): type, title, status, detail, code, retryable, errors."""

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import hdrs, web

from jobrunner.errors import InvalidRequest, LimitReached, RequestError, Unavailable
from jobrunner.events import emit
from jobrunner.redaction import redacted

CONTENT_TYPE = "application/problem+json"

_SHOWN_ERRORS = 20
_CODES = {413: "body_too_large"}
_OF_THE_BODY = frozenset({"content-type", "content-length"})
"""Headers of the text that aiohttp would have sent instead."""
_RETRYABLE = frozenset({408, 429, 503, 504})
_DETAILS = {
    404: "There is nothing at this path. GET / lists what there is.",
    405: "This path does not take that method; the Allow header lists those it takes.",
    416: "The file has no such part, or several were asked for at once; the Content-Range header tells its length.",
}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    retryable: bool = False,
    errors: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    body = {
        "type": f"urn:jobrunner:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": _printable(detail),
        "code": code,
        "retryable": retryable,
        "errors": [{key: _printable(str(value)) for key, value in each.items()} for each in errors[:_SHOWN_ERRORS]],
    }
    return web.Response(body=orjson.dumps(body), status=status, content_type=CONTENT_TYPE, headers=headers)


def problem_of(error: Exception, *, request_id: str) -> web.Response:
    """What to answer to `error`. Text of an unexpected exception goes to the log, never to the caller."""
    match error:
        case web.HTTPException():
            return _of_aiohttp(error)
        case Unavailable() | LimitReached():
            return _later(error)
        case RequestError():
            errors = error.errors if isinstance(error, InvalidRequest) else ()
            return problem(error.http_status, error.code, str(error), errors=errors)
        case TimeoutError():
            return _later(Unavailable("A server that we depend on did not answer in time."))
        case _:
            emit("api.error", logging.ERROR, request_id=request_id, exception=error)
            detail = f"Something broke on our side. The server's log tells what, under request id {request_id}."
            return problem(500, "internal_error", detail)


def _of_aiohttp(error: web.HTTPException) -> web.Response:
    """Refusals of aiohttp's own, and ours that it has a class for."""
    status = error.status
    worded = error.text and error.text != f"{status}: {error.reason}"
    detail = error.text if worded and error.text else _DETAILS.get(status, HTTPStatus(status).description)
    headers = {name: value for name, value in error.headers.items() if name.lower() not in _OF_THE_BODY}
    return problem(
        status,
        _CODES.get(status) or HTTPStatus(status).name.lower(),
        detail,
        retryable=status in _RETRYABLE,
        headers=headers,
    )


def _later(error: Unavailable | LimitReached) -> web.Response:
    headers: dict[str, str] = {hdrs.RETRY_AFTER: str(math.ceil(error.retry_after_s))}
    return problem(error.http_status, error.code, str(error), retryable=True, headers=headers)


def _printable(text: str) -> str:
    """A path or header that we quote may hold lone surrogates, which no JSON writer takes; and no secret goes out."""
    return redacted(text).encode(errors="backslashreplace").decode()
