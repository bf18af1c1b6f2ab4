"""What a provider's HTTP answer means, whoever the provider is: JSON, or an error of our tree.

A create request is judged more strictly than a question, since it may have been paid for: what failed before it
left us is transient; what failed after is SubmitUnknown, unless the provider itself says that it refused.
Classes and their sources: the error tables of OpenAI's and Replicate's API references.
"""

import logging
import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from mimetypes import guess_type
from pathlib import Path
from typing import Any, Protocol, get_args
from urllib.parse import urlsplit

import aiohttp
import orjson

from jobrunner.errors import AttemptError, PermanentError, RateLimited, SubmitUnknown, TransientError, UrlNotAllowed
from jobrunner.events import emit
from jobrunner.net import Net, retry_after_s
from jobrunner.settings.tables import Provider
from jobrunner.work import Kind, Output

JSON_BYTES = 16 * 1024 * 1024
"""The largest JSON answer that is held in memory; pictures inside answers are spooled to disk instead."""

OUTPUT_BYTES = 512 * 1024 * 1024
"""The largest file that one output may be."""

BEARER = {"Authorization": "Bearer {key}"}

_RESETS = re.compile(r"resets in ~?(\d{1,6}(?:\.\d+)?)\s?s", re.IGNORECASE)
_CONTENT = re.compile(r"\bE005\b|sensitive|nsfw|content.?policy|_policy|safety|moderation|flagged", re.IGNORECASE)
_BILLING = re.compile(r"(?:not (?:have )?enough|insufficient) credit", re.IGNORECASE)
_CONTENT_CODES = frozenset({"moderation_blocked", "content_policy_violation", "bad_prompt"})
_BILLING_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "quota_exceeded"})
_BUSY_CODES = frozenset({"rate_limit_exceeded", "server_error", "overloaded"})
_PROXY_STATUSES = frozenset({502, 504})
_AGAIN = frozenset({408, 409, 425})


class Line:
    """The way to one provider: a session made on first use, the key, and the mapping of every answer.

    `headers` go with every request; `{key}` in them stands for the API key, which is needed where one says so.
    `refuse` reads an error answer.
    """

    def __init__(
        self,
        net: Net,
        settings: Provider,
        *,
        provider: str,
        base_url: str,
        headers: Mapping[str, str] = BEARER,
        refuse: "Refuse | None" = None,
    ) -> None:
        self.provider = provider
        self._refuse = refuse or refusal
        self._headers = headers
        self._net = net
        self._settings = settings
        self._base_url = settings.base_url or base_url
        self._session: aiohttp.ClientSession | None = None
        self._wondered_at: set[str] = set()

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        create: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good (2xx) answer to read; whatever else happens, also while it is read, is raised as AttemptError.

        `body` is sent as JSON, `data` (bytes, an open file, a form) as it is; `headers` add to the session's.
        """
        try:
            async with self._ready().request(method, path, json=body, data=data, headers=headers) as answer:
                if not answer.ok:
                    raw = await _read_refusal(answer)
                    raise self._refuse(self.provider, answer.status, answer.headers, raw, create=create)
                yield answer
        except (aiohttp.ClientError, OSError, BadAnswer) as error:
            raise self._lost(error, create=create) from error

    async def ask(self, method: str, path: str, *, body: Any = None, create: bool = False) -> dict[str, Any]:
        """The JSON object that a good answer carries."""
        async with self.open(method, path, body=body, create=create) as answer:
            return await read_object(answer)

    async def fetch(self, output: Output, spool: Path) -> Path:
        """The output as a file: where it is already, or downloaded without the key, since any host may be named."""
        if output.path is not None:
            return output.path
        total_s = self._settings.timeout_s
        try:
            file = await self._net.download(output.url or "", spool, max_bytes=OUTPUT_BYTES, total_s=total_s)
        except UrlNotAllowed as error:
            message = f"{self.provider} answers a file that may not be fetched: {error}"
            raise PermanentError(message, code=error.code, provider=self.provider) from error
        return file.path

    def wonder(self, status: str, known: Collection[str]) -> None:
        """A status word that we do not know is "still running", said once; the job's deadline bounds it."""
        if status not in known and status not in self._wondered_at:
            self._wondered_at.add(status)
            emit("provider.unknown_status", logging.WARNING, provider=self.provider, status=status)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _ready(self) -> aiohttp.ClientSession:
        if self._settings.api_key is None and any("{key}" in value for value in self._headers.values()):
            variable = f"JOBRUNNER_PROVIDERS__{self.provider.upper()}__API_KEY"
            raise PermanentError(
                f"{self.provider} needs an API key: set `api_key` under [providers.{self.provider}] or {variable}.",
                code="provider_key_missing",
                provider=self.provider,
            )
        if self._session is None:
            key = "" if self._settings.api_key is None else self._settings.api_key.get_secret_value()
            self._session = self._net.provider_session(
                self._base_url,
                headers={name: value.replace("{key}", key) for name, value in self._headers.items()},
                max_connections=self._settings.max_connections,
                timeout_s=self._settings.timeout_s,
            )
        return self._session

    def _lost(self, error: Exception, *, create: bool) -> AttemptError:
        """The error for a request that got no usable answer. Connection errors come before the request is sent."""
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        unsent = isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError))
        if create and not unsent:
            message = (
                f"{self.provider} got the request, but its answer was lost ({what}). It may run and be billed: "
                "look at the provider before you submit it again."
            )
            return SubmitUnknown(message, provider=self.provider)
        return TransientError(f"{self.provider} cannot be asked now ({what}).", provider=self.provider)


class BadAnswer(Exception):
    """A 2xx answer that is not what was promised: a proxy's page, a cut body, too much. `Line.open` maps it."""


async def read_object(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    return parsed(await _read(answer))


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in answer.content.iter_any():
        raw += chunk
        if len(raw) > JSON_BYTES:
            raise BadAnswer(f"an answer of more than {JSON_BYTES:,} bytes")
    return bytes(raw)


async def _read_refusal(answer: aiohttp.ClientResponse) -> bytes:
    """The body of an error answer; nothing if it breaks off, since the status alone says what to do."""
    try:
        return await _read(answer)
    except (aiohttp.ClientError, OSError, BadAnswer):
        return b""


def parsed(raw: bytes) -> dict[str, Any]:
    """`raw` as a JSON object; inside `Line.open` anything else becomes the fitting AttemptError."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadAnswer(f"an answer that is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadAnswer("an answer that is no JSON object")
    return value


class Refuse(Protocol):
    """What `refusal` does; a provider's own may know more words."""

    def __call__(
        self, provider: str, status: int, headers: Mapping[str, str], raw: bytes, *, create: bool
    ) -> AttemptError: ...


def refusal(provider: str, status: int, headers: Mapping[str, str], raw: bytes, *, create: bool) -> AttemptError:
    """The error for an answer of `status` whose body is `raw`, whatever that is."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    words, code = explained(body)
    source = {
        "provider": provider,
        "provider_code": code,
        "request_id": headers.get("x-request-id") or headers.get("request-id"),
    }
    said = f"{provider} answers HTTP {status}: {words or 'no explanation'}"
    if status == 429 and code not in _BILLING_CODES:  # noqa: PLR2004
        return RateLimited(said, retry_after_s=_wait_s(headers, words), **source)
    if status >= 500 and create and (status in _PROXY_STATUSES or not words):  # noqa: PLR2004
        message = f"{said}. The request may have gone through and be billed: look at the provider before a retry."
        return SubmitUnknown(message, **source)
    if status >= 500 or status in _AGAIN:  # noqa: PLR2004
        return TransientError(said, **source)
    if status == 401 and code not in _BILLING_CODES:  # noqa: PLR2004  # the provider's words may quote the key
        said = f"{provider} refuses the API key (HTTP 401): check `api_key` under [providers.{provider}]"
    return PermanentError(f"{said}.", code=_permanent_code(status, code, words), **source)


def judged(provider: str, words: str, code: str | None, request_id: str | None = None) -> AttemptError:
    """The error for a failure that a provider reports in a 200 answer: its words and, if it has one, its code."""
    source = {"provider": provider, "provider_code": code, "request_id": request_id}
    said = f"{provider}: {_clean(words) or 'failed without an explanation'}"
    if code in _BUSY_CODES:
        return TransientError(said, **source)
    return PermanentError(said, code=_permanent_code(400, code, words, otherwise="provider_failed"), **source)


def unsupported(provider: str, field: str, why: str) -> PermanentError:
    return PermanentError(f"{provider}: `{field}`: {why}.", code="unsupported_input", provider=provider)


def outputs_in(answer: Any) -> Iterator[Output]:
    """Every file named in an answer of any shape (string, list, object): by its type; an URL without one, a picture."""
    if isinstance(answer, str):
        if answer.startswith("data:"):
            mime = answer[len("data:") :]
        elif answer.startswith(("https://", "http://")):
            mime = guess_type(urlsplit(answer).path)[0] or "image/"
        else:
            return
        for kind in get_args(Kind):
            if mime.startswith(f"{kind}/"):
                yield Output(kind, url=answer)
    elif isinstance(answer, Mapping):
        for each in answer.values():
            yield from outputs_in(each)
    elif isinstance(answer, list):
        for each in answer:
            yield from outputs_in(each)


def _permanent_code(status: int, code: str | None, words: str, otherwise: str = "invalid_input") -> str:
    if code in _CONTENT_CODES or (status in (400, 422) and _CONTENT.search(f"{code} {words}")):
        return "content_policy"
    if code in _BILLING_CODES or status == 402 or _BILLING.search(words):  # noqa: PLR2004
        return "provider_quota"
    by_status = {401: "provider_auth", 403: "provider_auth", 404: "provider_not_found"}
    return by_status.get(status, otherwise)


def explained(body: Any) -> tuple[str, str | None]:
    """What an error body says, and its code.

    `{error: {message, code, type}}` is OpenAI's; `{detail: [{loc, msg, type}]}` FastAPI's, whose first entry says
    why; `{detail: {message, code, status}}` ElevenLabs', where `status` is the older word for the code;
    `{title, detail}` is problem JSON; `{detail, error_type}` fal's.
    """
    if not isinstance(body, dict):
        return "", None
    error, detail = body.get("error"), body.get("detail")
    if isinstance(error, dict):
        code = error.get("code") or error.get("type")
        words = error.get("message") or code
    elif isinstance(detail, dict):
        code = detail.get("code") or detail.get("status")
        words = detail.get("message") or code
    elif isinstance(detail, list) and detail and isinstance(detail[0], dict):
        code, place = detail[0].get("type"), detail[0].get("loc")
        words = f"{place[-1]}: {detail[0].get('msg')}" if isinstance(place, list) and place else detail[0].get("msg")
    else:
        code, words = body.get("error_type"), error or detail or body.get("title")
    return _clean(words), None if code is None else str(code)[:100]


def _clean(text: Any) -> str:
    """One printable line of at most 500 characters; Postgres stores no NUL."""
    words = " ".join(str(text or "").split())[:500]
    return "".join(letter for letter in words if letter.isprintable())


def _wait_s(headers: Mapping[str, str], words: str) -> float | None:
    """Replicate names the seconds in its text only: "Your rate limit resets in ~30s."."""
    asked_s = retry_after_s(headers)
    text = _RESETS.search(words)
    return float(text[1]) if asked_s is None and text else asked_s
