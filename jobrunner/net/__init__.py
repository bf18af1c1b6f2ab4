"""The only maker of outbound HTTP sessions.

Two kinds of host are told apart. A *provider's* address stands in the operator's settings and is trusted: its
session carries the key, so it refuses every other origin and every redirect. A URL that *users or providers'
answers name* is not trusted: it is asked through a guard that looks at the address of every socket before it
connects. The guard sits in the connector's `socket_factory`, since aiohttp asks no resolver about IP literals, and
since a name may resolve differently the second time (DNS rebinding).
"""

import asyncio
import base64
import binascii
import ipaddress
import os
import re
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes

import aiohttp
from yarl import URL

from jobrunner.errors import PermanentError, RateLimited, TransientError, UrlNotAllowed
from jobrunner.net.permit import asking_permit
from jobrunner.net.policy import Policy, shown

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CONNECT_S = 10.0
QUEUE_S = 60.0
"""How long a request may wait for a free connection: it has not been sent then, and the error says so."""
SILENCE_S = 60.0
BLOCK_BYTES = 256 * 1024

_DATA_URL = re.compile(r"data:(?P<mime>[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[^;,]*)*(?P<base64>;base64)?,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that arrived whole. `mime` is what the server claimed, lower case and without parameters."""

    path: Path
    mime: str | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What a `post` was answered with; `retry_after_s` as the receiver asked."""

    status: int
    retry_after_s: float | None


class _Refused(OSError):
    """The guard's veto. An OSError, so that aiohttp goes on to the next address and closes up behind itself."""


class Net:
    """Makes sessions, downloads and posts. `allow`: private places that URLs may lead to (`net.allow` in settings)."""

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self._policy = Policy(allow)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    def provider_session(
        self, base_url: str, *, headers: Mapping[str, str], max_connections: int, timeout_s: float
    ) -> aiohttp.ClientSession:
        """A session for paths below `base_url`; the caller closes it. Other origins and redirects raise."""
        base = URL(base_url.rstrip("/") + "/")
        connector = aiohttp.TCPConnector(limit=max_connections, ttl_dns_cache=60, socket_factory=_keepalive_socket)
        return aiohttp.ClientSession(
            base,
            headers=headers,
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_stay_at(base.origin()),),
            trace_configs=[asking_permit()],
            timeout=aiohttp.ClientTimeout(total=timeout_s, connect=min(QUEUE_S, timeout_s / 2), sock_connect=CONNECT_S),
        )

    def check_url(self, url: str) -> None:
        """Refuse, without any I/O, an http(s) URL that `download` would refuse. Raises UrlNotAllowed.

        A name that resolves to a private address passes here; the guard refuses it when it connects.
        """
        self._policy.vet(url)

    async def download(self, url: str, into: Path, *, max_bytes: int, total_s: float) -> Downloaded:
        """The file at an https, data: or allowed http `url`, as a new private file in directory `into`.

        Raises UrlNotAllowed; PermanentError (`artifact_expired` for 401, 403, 404, 410; `artifact_too_large`);
        RateLimited; TransientError for 5xx, broken connections, truncation, and past `total_s`.
        """
        if url[:5].lower() == "data:":
            return await asyncio.to_thread(_save_data_url, url, into, max_bytes)
        async with _mapped_errors(url, total_s):
            return await self._follow(url, into, max_bytes)

    async def post(self, url: str, body: bytes, *, headers: Mapping[str, str], total_s: float) -> Answered:
        """Send `body` to an https or allowed http `url`. Redirects are not followed, nor is the answer's body read.

        Raises UrlNotAllowed; TransientError where no answer came within `total_s`.
        """
        async with _mapped_errors(url, total_s):
            target, by_name = self._policy.vet(url)
            session = self._session(guarded=not by_name)
            async with session.post(target, data=body, headers=headers, allow_redirects=False) as answer:
                return Answered(answer.status, retry_after_s(answer.headers))

    async def aclose(self) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def _follow(self, url: str, into: Path, max_bytes: int) -> Downloaded:
        for _ in range(MAX_REDIRECTS + 1):
            target, by_name = self._policy.vet(url)
            async with self._session(guarded=not by_name).get(target, allow_redirects=False) as answer:
                if answer.status not in REDIRECTS:
                    _raise_for_status(answer, shown(url))
                    return await save(answer, into, max_bytes=max_bytes)
                url = _redirected(target, answer.headers.get("Location", ""))
        raise PermanentError(f"{shown(url)}: more than {MAX_REDIRECTS} redirects.", code="artifact_unreachable")

    def _session(self, *, guarded: bool) -> aiohttp.ClientSession:
        if guarded not in self._sessions:
            factory = self._guarded_socket if guarded else _keepalive_socket
            self._sessions[guarded] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, socket_factory=factory),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity"},  # media do not shrink; a gzip bomb would only grow
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S),
            )
        return self._sessions[guarded]

    def _guarded_socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        host, port = info[4][:2]
        if not self._policy.may_reach(ipaddress.ip_address(host), port):
            raise _Refused("leads to an address that is not public; an operator can name it in `net.allow`.")
        return _keepalive_socket(info)


@asynccontextmanager
async def _mapped_errors(url: str, total_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(total_s):
            yield
    except TimeoutError:
        message = f"{shown(url)} did not answer in full within {total_s:g} s, or fell silent."
        raise TransientError(message) from None
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, _Refused):
            raise UrlNotAllowed(f"{shown(url)} {error.os_error}") from None
        raise TransientError(f"{shown(url)} cannot be reached: {error}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise TransientError(f"{shown(url)} broke off: {type(error).__name__}: {error}") from error


async def save(answer: aiohttp.ClientResponse, into: Path, *, max_bytes: int) -> Downloaded:
    """The body as a new file (mode 0600) in directory `into`; nothing is left behind on failure.

    Raises PermanentError `artifact_too_large` and whatever reading raises (aiohttp.ClientError, TimeoutError).
    """
    _refuse_over(max_bytes, answer.content_length or 0)
    handle, name = tempfile.mkstemp(dir=into, prefix="net-")
    size, block = 0, bytearray()
    try:
        with os.fdopen(handle, "wb") as file:
            async for chunk in answer.content.iter_any():
                size += len(chunk)
                _refuse_over(max_bytes, size)
                block += chunk
                if len(block) >= BLOCK_BYTES:
                    await asyncio.to_thread(file.write, bytes(block))
                    block.clear()
            await asyncio.to_thread(file.write, bytes(block))
    except BaseException:
        Path(name).unlink(missing_ok=True)  # noqa: ASYNC240  # also when cancelled, so nothing may await here
        raise
    claimed = answer.headers.get("Content-Type", "").split(";")[0].strip().lower()
    return Downloaded(Path(name), claimed or None, size)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks us to wait: `retry-after-ms`, then `Retry-After` as seconds or HTTP date.

    A date counts from the answer's own `Date`, so that a wrong clock here changes nothing. Source: RFC 9110
    10.2.3; the milliseconds are OpenAI's (read by its SDK).
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
            return float(value) * unit_s
    until, now = _date(headers.get("Retry-After")), _date(headers.get("Date")) or datetime.now(UTC)
    return None if until is None else max(0.0, (until - now).total_seconds())


def _date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _redirected(here: URL, location: str) -> str:
    try:
        return str(here.join(URL(location, encoded=True))) if location else ""
    except ValueError as error:
        raise UrlNotAllowed(f"{shown(str(here))} redirects to something that is no URL: {error}") from None


def _raise_for_status(answer: aiohttp.ClientResponse, shown: str) -> None:
    status = answer.status
    if status in (401, 403, 404, 410):
        raise PermanentError(f"{shown} is gone or closed to us (HTTP {status}).", code="artifact_expired")
    if status == 429:  # noqa: PLR2004
        raise RateLimited(f"{shown} answers HTTP 429.", retry_after_s=retry_after_s(answer.headers))
    if status >= 500 or status in (408, 425):  # noqa: PLR2004
        raise TransientError(f"{shown} answers HTTP {status}.")
    if not answer.ok or status == 204:  # noqa: PLR2004
        raise PermanentError(f"{shown} answers HTTP {status}, not a file.", code="artifact_unreachable")


def _refuse_over(max_bytes: int, size: int) -> None:
    if size > max_bytes:
        raise PermanentError(f"The answer is larger than {max_bytes:,} bytes.", code="artifact_too_large")


def _save_data_url(url: str, into: Path, max_bytes: int) -> Downloaded:
    """Decode a data: URL (RFC 2397) into a file."""
    header = _DATA_URL.match(url)
    if header is None:
        raise UrlNotAllowed("A data: URL must read data:<type>/<subtype>;base64,<data>.")
    text = url[header.end() :]
    _refuse_over(max_bytes * 4 // 3 + 4 if header["base64"] else max_bytes * 3, len(text))
    try:
        raw = unquote_to_bytes(text)
        data = base64.b64decode(raw, validate=True) if header["base64"] else raw
    except (binascii.Error, ValueError) as error:
        raise PermanentError(f"A data: URL does not decode: {error}", code="media_invalid") from None
    _refuse_over(max_bytes, len(data))
    handle, name = tempfile.mkstemp(dir=into, prefix="net-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    return Downloaded(Path(name), (header["mime"] or "text/plain").lower(), len(data))


def _keepalive_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """Probe idle connections: a provider may think for minutes, and NAT tables forget silent ones."""
    made = socket.socket(info[0], info[1], info[2])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 45), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made


def _stay_at(home: URL) -> aiohttp.ClientMiddlewareType:
    """A session that carries a key speaks with one origin only and follows no redirect away from it."""

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if request.url.origin() != home:
            raise UrlNotAllowed(f"{shown(str(request.url))} is not at {home}: the API key stays at home.")
        answer = await handler(request)
        if answer.status in REDIRECTS:
            answer.close()
            to = shown(answer.headers.get("Location", ""))
            raise PermanentError(
                f"{home} redirects to {to}; if that is right, make it the provider's `base_url`.",
                code="provider_redirects",
            )
        return answer

    return middleware
