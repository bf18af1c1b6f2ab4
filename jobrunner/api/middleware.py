"""What happens to every request: an id, a guard at the door, problems instead of exceptions, an event, headers."""

import logging
import re
import time

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from jobrunner.api.problems import problem_of
from jobrunner.api.routes import CALLER
from jobrunner.events import about, emit
from jobrunner.store.rows import new_id

REQUEST_ID = "X-Request-Id"

_id = web.RequestKey("id", str)
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    hdrs.CACHE_CONTROL: "no-store",
}


@web.middleware
async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, answer its errors as problems, and tell of it."""
    asked = request.headers.get(REQUEST_ID, "")
    request[_id] = asked if _SANE_ID.fullmatch(asked) else new_id().hex
    before = about.set({"request_id": request[_id]})
    started = time.perf_counter()
    try:
        response = await _answered(request, handler)
        _tell(request, response, started)
    finally:
        about.reset(before)  # the connection's next request runs in the same asyncio task
    return response


def _tell(request: web.Request, response: web.StreamResponse, started: float) -> None:
    emit(
        "api.request",
        logging.DEBUG,
        request_id=request[_id],
        caller=request[CALLER].name if CALLER in request else None,
        method=request.method,
        path=request.rel_url.raw_path,
        status=response.status,
        ms=round((time.perf_counter() - started) * 1000, 1),
    )


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Exception as error:  # the last one to catch: each becomes a problem document
        if isinstance(error, web.HTTPException) and error.status < 400:  # noqa: PLR2004  # a redirect is an answer
            raise
        return problem_of(error, request_id=request[_id])


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`: it also sees the answers that are streamed."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers[hdrs.SERVER] = "jobrunner"
    if _id in request:
        response.headers[REQUEST_ID] = request[_id]
