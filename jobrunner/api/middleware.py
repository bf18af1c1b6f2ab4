"""What happens to every request: an id, a guard at the door, problems instead of exceptions, an event, headers."""

import ipaddress
import logging
import re
import time
from uuid import uuid4

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from yarl import URL

from jobrunner.api.problems import problem_of
from jobrunner.events import emit
from jobrunner.providers.hooks import PATH as HOOKS

REQUEST_ID = "X-Request-Id"

_id = web.RequestKey("id", str)
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    hdrs.CACHE_CONTROL: "no-store",
}


@web.middleware
async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, answer its errors as problems, and tell of it."""
    asked = request.headers.get(REQUEST_ID, "")
    request[_id] = asked if _SANE_ID.fullmatch(asked) else uuid4().hex
    started = time.perf_counter()
    response = await _answered(request, handler)
    emit(
        "api.request",
        logging.DEBUG,
        request_id=request[_id],
        method=request.method,
        path=request.rel_url.raw_path,
        status=response.status,
        ms=round((time.perf_counter() - started) * 1000, 1),
    )
    return response


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Exception as error:  # the last one to catch: each becomes a problem document
        if isinstance(error, web.HTTPException) and error.status < 400:  # noqa: PLR2004  # a redirect is an answer
            raise
        return problem_of(error, request_id=request[_id])


def guarded(*, trust_network: bool) -> Middleware:
    """Keep web pages out: there are no API keys yet, and a page that a user visits can send to the loopback address.

    A page of another origin may not act (Origin), nor may one whose name was rebound to our address (Host). Behind a
    proxy that sets Host to a public name `trust_network` must be on. Providers' calls come under a public name, too;
    what is sealed in their URLs and signed in their bodies guards them.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(f"{HOOKS}/"):
            return await handler(request)
        host = request.headers.get(hdrs.HOST)
        if host is not None and not trust_network and not is_loopback(_name_in(host)):
            raise web.HTTPForbidden(
                text=f"Host {host[:200]!r} is not this machine. Ask for localhost, or set http.trust_network = true."
            )
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and request.method not in _READING and origin.partition("://")[2] != host:
            raise web.HTTPForbidden(text=f"Pages of {origin[:200]!r} may not act here: it is another origin.")
        return await handler(request)

    return guard


def _name_in(host: str) -> str:
    """`host[:port]` without its port; nothing for what is no host."""
    try:
        return URL(f"http://{host}").host or ""
    except ValueError:
        return ""


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`: it also sees the answers that are streamed."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers[hdrs.SERVER] = "jobrunner"
    if _id in request:
        response.headers[REQUEST_ID] = request[_id]


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, surely means this machine and nobody else can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
