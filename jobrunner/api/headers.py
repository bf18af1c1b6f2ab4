"""Every header that matters, to send or to read. The docs list them; a route names those that are its own."""

from dataclasses import dataclass
from typing import Any, Final

ANY_SUCCESS: Final = range(200, 300)

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer", "minimum": 0}


@dataclass(frozen=True, slots=True)
class Header:
    """`answers`: the statuses whose answers carry it; empty where callers send it. `everywhere`: on every route."""

    name: str
    schema: dict[str, Any]
    meaning: str
    answers: range | tuple[int, ...] = ()
    everywhere: bool = False
    example: str | None = None


SENT: Final[tuple[Header, ...]] = (
    Header(
        "X-Request-Id",
        {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
        "Your name for this request: the answer and the server's log repeat it. Where yours is no word, one is made.",
        everywhere=True,
        example="checkout-17",
    ),
    Header(
        "Idempotency-Key",
        {"type": "string", "minLength": 1, "maxLength": 255},
        "Your name for this submission. Sent again with the same request, it answers the job that it made first; with "
        "another, `idempotency_key_reused`. It holds as long as the job is kept.",
        example="order-1729",
    ),
    Header(
        "Prefer",
        _TEXT,
        "`wait=N` holds the answer until the job has ended, for N seconds at most; 60 is the longest.",
        example="wait=10",
    ),
    Header(
        "Range",
        _TEXT,
        "`bytes=FROM-TO`, both counted from 0: only that part of the file, as a 206.",
        example="bytes=0-65535",
    ),
    Header(
        "If-None-Match",
        _TEXT,
        "The `ETag` of what you have: where it is still the same, the answer is a 304 without a body.",
    ),
    Header(
        "Last-Event-ID",
        _TEXT,
        "The `id` of the last event that you saw: the stream goes on behind it. A browser's EventSource sends it.",
    ),
    Header(
        "X-Jobrunner-Token",
        _TEXT,
        "The `token` of the session, from a page that is signed in by a cookie, with all that is not GET or HEAD.",
    ),
)

READ: Final[tuple[Header, ...]] = (
    Header(
        "X-Request-Id",
        _TEXT,
        "The request's name in the server's log.",
        range(200, 600),
        everywhere=True,
    ),
    Header("WWW-Authenticate", _TEXT, "What is wrong with the key (RFC 6750).", (401,), everywhere=True),
    Header("Allow", _TEXT, "The methods that the path takes.", (405,), everywhere=True),
    Header("Location", {"type": "string", "format": "uri-reference"}, "Where what was made is shown.", ANY_SUCCESS),
    Header(
        "Preference-Applied",
        _TEXT,
        "What of `Prefer` was heeded, e.g. `wait=10`.",
        ANY_SUCCESS,
    ),
    Header("Retry-After", _NUMBER, "After how many seconds to ask again.", (429, 503), everywhere=True),
    Header(
        "RateLimit",
        _TEXT,
        "How many requests the key has left: `r=`; and for how long: `t=`.",
        range(200, 600),
        everywhere=True,
    ),
    Header(
        "RateLimit-Policy",
        _TEXT,
        "How often the key may ask: `q=` times in `w=` seconds.",
        range(200, 600),
        everywhere=True,
    ),
    Header(
        "Set-Cookie",
        _TEXT,
        "The session, or its end: no script can read it, no other site makes it be sent.",
        (200, 204),
    ),
    Header("ETag", _TEXT, "Names the content; send it as `If-None-Match` next time.", (200, 206, 304)),
    Header("Accept-Ranges", _TEXT, "`bytes`: the file can be asked for in parts.", (200, 206)),
    Header("Content-Range", _TEXT, "Which part of the file this is, and how long it is.", (206, 416)),
    Header("Content-Disposition", _TEXT, "Whether a browser may show the file, and its name.", (200, 206)),
)
