"""What comes in, strictly read. JSON that two parsers would read differently, or Postgres would refuse, stays out."""

import asyncio
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web

from jobrunner.errors import InvalidRequest, NotFound, RequestError

BODY_S = 30.0
"""How long a client may take to send its JSON; in an upload, how long it may pause."""

_AT_ONCE_BYTES = 65_536
"""A larger body, such as a batch, is parsed beside the event loop: megabytes take most of a second."""

DEPTH = 64
"""How deep JSON may nest, the outermost object included."""

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_DEEPER = {"{": 1, "[": 1, "}": -1, "]": -1}
_INT64 = range(-(2**63), 2**63)
_INT64_CHARS = len(str(_INT64.start))


async def read_json(request: web.Request, *, listed: str | None = None) -> dict[str, Any]:
    """The body as a JSON object. Raises RequestError, InvalidRequest, and aiohttp's 408, 413 and 415.

    `listed` names the list whose items are answered one by one: whether they can be kept is for its reader to check.
    """
    _check_headers(request)
    body = await read_body(request)
    value = parse(body) if len(body) <= _AT_ONCE_BYTES else await asyncio.to_thread(parse, body)
    check_storable({key: each for key, each in value.items() if key != listed})
    return value


def read_query(request: web.Request) -> dict[str, str]:
    """Raises InvalidRequest for a parameter given twice, and for text that cannot be kept."""
    query = dict(request.query)
    if len(query) != len(request.query):
        twice = sorted({key for key in query if len(request.query.getall(key)) > 1})
        errors = [{"path": key, "message": "is given more than once", "type": "repeated"} for key in twice]
        raise InvalidRequest(f"{', '.join(twice)}: given more than once; give it once.", errors)
    check_storable(query)
    return query


def read_id(request: web.Request, what: str) -> UUID:
    """The path's `{id}`. What is no id names nothing: raises NotFound."""
    text = request.match_info["id"]
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(
            f"There is no {what} {text[:80]!r}; ids look like 0198c5a4-5f4e-7cc3-8f5b-0d6f6a1f1f6e."
        ) from None


def parse(body: bytes) -> dict[str, Any]:
    """Raises RequestError for what is no strict JSON object."""
    try:
        text = body.decode()
        _check_depth(text)
        value = _STRICT.decode(text)
    except UnicodeDecodeError as error:
        raise RequestError(f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise RequestError(f"The body is not JSON: {error.msg} ({where}).") from None
    if not isinstance(value, dict):
        raise RequestError('The body must be a JSON object, {"task": ..., "params": {...}}.')
    return value


def _check_depth(text: str) -> None:
    """Before the parser sees it: json recurses in C, and a process whose recursion limit was raised dies of it."""
    if text.count("{") + text.count("[") <= DEPTH:
        return
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        depth += _DEEPER.get(token[0], 0)
        if depth > DEPTH:
            raise RequestError(f"The body nests deeper than {DEPTH} levels.")


def check_storable(value: Mapping[str, Any] | list[Any], path: str = "") -> None:
    """Raises InvalidRequest with the path of the first text or number that Postgres' jsonb or bigint cannot hold."""
    items: Iterable[tuple[Any, Any]] = enumerate(value) if isinstance(value, list) else value.items()
    for key, each in items:
        if isinstance(each, dict | list):
            check_storable(each, f"{path}{key}.")
        if flaw := _flaw(key) or _flaw(each):
            where = f"{path}{key}"
            raise InvalidRequest(f"{where}: {flaw}", [{"path": where, "message": flaw, "type": "not_storable"}])


def _flaw(value: object) -> str | None:
    if isinstance(value, str):
        if "\x00" in value:
            return "holds a NUL character; send plain Unicode text"
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            return "holds a lone surrogate; send plain Unicode text"
    elif isinstance(value, int) and value not in _INT64:
        return "is an integer beyond 64 bits; send it as text"
    return None


def check_uncompressed(request: web.Request) -> None:
    """Raises aiohttp's 415."""
    coding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if coding != "identity":
        raise web.HTTPUnsupportedMediaType(
            text=f"Content-Encoding {coding!r} is not taken; send the body uncompressed.",
            headers={hdrs.ACCEPT_ENCODING: "identity"},
        )


def _check_headers(request: web.Request) -> None:
    check_uncompressed(request)
    if hdrs.CONTENT_TYPE not in request.headers:
        return
    kind = request.content_type
    if kind != "application/json" and not kind.endswith("+json"):
        raise web.HTTPUnsupportedMediaType(text=f"Content-Type {kind!r} is not taken; send application/json.")
    if (request.charset or "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise RequestError(f"Charset {request.charset!r} is not taken; JSON is sent as UTF-8.")


async def read_body(request: web.Request) -> bytes:
    """Raises RequestError, and aiohttp's 408 and 413."""
    limit = request.client_max_size
    announced = request.content_length or 0
    if announced > limit:
        raise web.HTTPRequestEntityTooLarge(limit, announced)
    try:
        if request.content.is_eof():  # it came with its head, as most do
            return await request.read()
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"The body did not arrive within {BODY_S:g} s.") from None
    except (web.RequestPayloadError, ConnectionError):
        raise RequestError("The body broke off, or its chunks are malformed.") from None


async def save_body(request: web.Request, path: Path, *, max_bytes: int) -> None:
    """The body as a file, never whole in memory. Raises RequestError, and aiohttp's 408 and 413."""
    announced = request.content_length or 0
    if announced > max_bytes:
        raise web.HTTPRequestEntityTooLarge(max_bytes, announced)
    size = 0
    try:
        with path.open("wb") as file:  # opening waits for nobody; writing is done apart
            while block := await asyncio.wait_for(request.content.readany(), BODY_S):
                size += len(block)
                if size > max_bytes:
                    raise web.HTTPRequestEntityTooLarge(max_bytes, size)
                await asyncio.to_thread(file.write, block)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"Nothing more of the body arrived for {BODY_S:g} s.") from None
    except (web.RequestPayloadError, ConnectionError):
        raise RequestError("The body broke off, or its chunks are malformed.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise RequestError(f"The body is ambiguous: an object has the key {twice[:200]!r} twice.")
    return value


def _refuse_constant(name: str) -> None:
    raise RequestError(f"The body is not JSON: {name} is no JSON number; send null, or leave it out.")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise RequestError(f"The body holds {text[:40]}, a number too large for a 64-bit float.")
    return value


def _int(text: str) -> int:
    # int() refuses more than 4300 digits, and takes quadratic time below that: the length says enough.
    return int(text) if len(text) <= _INT64_CHARS else _INT64.stop


_STRICT = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_float, parse_int=_int
)
"""Made once: json.loads would make one for each body."""
