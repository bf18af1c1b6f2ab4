"""CORS: which pages of other origins may call the API. None, unless settings list them.

Source: the Fetch standard, "CORS protocol". A key travels in a header that the page sets itself, so browsers are never
asked to add credentials of their own.
"""

from collections.abc import Sequence

from aiohttp import hdrs, web

from jobrunner.api.headers import READ, SENT
from jobrunner.api.routes import ROUTES

_SENT = ", ".join((hdrs.AUTHORIZATION, hdrs.CONTENT_TYPE, *(each.name for each in SENT)))
_READ = ", ".join((hdrs.WWW_AUTHENTICATE, *(each.name for each in READ)))
_REMEMBER_S = 600


class Cors:
    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)

    def allows(self, origin: str) -> bool:
        return origin in self._origins

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a browser that asks on a page's behalf; None for all other requests."""
        asks = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        if not asks or not self.allows(request.headers.get(hdrs.ORIGIN, "")):
            return None
        methods = sorted({route.method for route in request.app[ROUTES].values()})
        headers: dict[str, str] = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(methods),
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _SENT,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_REMEMBER_S),
        }
        return web.Response(status=204, headers=headers)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """For `on_response_prepare`: a page must be able to read problems and streams, too."""
        if not self._origins:
            return
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN, "")
        if self.allows(origin):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _READ
