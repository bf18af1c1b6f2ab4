"""How Server-Sent Events are written (HTML, section 9.2), and what streams of them share."""

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import hdrs, web

from jobrunner.broker.changes import tellings

MEDIA_TYPE = "text/event-stream"
LAST_ID = "Last-Event-ID"

BEAT_S = 15.0
"""A stream that has nothing to tell sends a sign of life this often: proxies cut silent connections."""

_RETRY_MS = 2000
HELLO = b"retry: %d\n\n" % _RETRY_MS
"""What a stream begins with: how long a client should wait before it comes back."""


def streaming() -> web.StreamResponse:
    response = web.StreamResponse(headers={hdrs.CACHE_CONTROL: "no-store", "X-Accel-Buffering": "no"})
    response.content_type = MEDIA_TYPE
    return response


def event(name: str, id: str, data: Any) -> bytes:
    """JSON has no line breaks of its own, so one `data` line holds it."""
    return place(id)[:-1] + _event(name, data)


def events(kind: str, id: str, said: Mapping[str, Any]) -> bytes:
    """What a change says, in an event or several.

    The last one bears the id: who got only some of them gets them all again, and misses none.
    """
    *before, last = tellings(kind, said)
    return b"".join(_event(kind, each) for each in before) + event(kind, id, last)


def place(id: str) -> bytes:
    """No event: it only tells the client where it stands."""
    return b"id: %b\n\n" % id.encode()


def _event(name: str, data: Any) -> bytes:
    body = orjson.dumps(data, default=str, option=orjson.OPT_UTC_Z)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), body)


def cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()
