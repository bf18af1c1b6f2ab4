"""How often a caller may ask: the middleware that counts, and the headers that tell.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10. While Redis is away each server counts for itself: it
lets a caller have its whole rate, so that several servers let through several times as much, but never more.
"""

import math
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from jobrunner.api.routes import CALLER
from jobrunner.broker.limits import Limits, LimitsAway, Spent, spend
from jobrunner.errors import TooManyRequests

_SPENT = web.RequestKey("spent", Spent)
_POLICY = '"requests"'


class Pacing:
    """`limit` is a middleware, for behind the one that says who the caller is; `add_headers` is for responses."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._paid_us: dict[str, float] = {}

    @web.middleware
    async def limit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raises TooManyRequests."""
        caller = request[CALLER]
        if caller.requests_per_minute is not None:
            spent = request[_SPENT] = await self._spend(caller.name, caller.requests_per_minute)
            if not spent.allowed:
                raise TooManyRequests(
                    f"The key {caller.name!r} may ask {caller.requests_per_minute} times a minute. Ask again in "
                    f"{spent.wait_s:.1f} s; the header RateLimit tells with every answer how many are left.",
                    retry_after_s=spent.wait_s,
                )
        return await handler(request)

    async def _spend(self, name: str, per_minute: int) -> Spent:
        try:
            return await self._limits.spend(name, per_minute)
        except LimitsAway:
            spent, self._paid_us[name] = spend(self._paid_us.get(name, 0.0), time.monotonic() * 1e6, per_minute)
            return spent

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """For `on_response_prepare`: it also sees the answers that are streamed."""
        if (spent := request.get(_SPENT)) is not None:
            quota = request[CALLER].requests_per_minute
            response.headers["RateLimit-Policy"] = f"{_POLICY};q={quota};w=60"
            response.headers["RateLimit"] = f"{_POLICY};r={spent.remaining};t={math.ceil(spent.wait_s)}"
