"""Webhooks from providers: where each may call us, and whether a call is really its own.

A call is a hint to poll now. Nothing else in it is believed: a forged one costs a poll, and a lost one is made up for
by the next poll. Sources: the providers' webhook documentation.
"""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import orjson

from jobrunner.errors import AttemptError, ConfigError
from jobrunner.events import emit
from jobrunner.net import Net
from jobrunner.net.signing import is_fal, is_standard, is_sync, key_of
from jobrunner.providers.answers import Line
from jobrunner.providers.fal_inputs import KEY, REST_URL, storage_urls
from jobrunner.providers.replicate import BASE_URL as REPLICATE_URL
from jobrunner.settings import Settings
from jobrunner.settings.tables import Provider

PATH = "/v1/hooks"

PROJECT = "project"
"""Stands in a token's place where a provider calls one URL for a whole project: its signature must say enough."""

PER_REQUEST = ("replicate", "fal", "luma", "sync")
"""Those that take a URL with each create request."""

_DAY_S = 86_400.0
_AGAIN_S = 60.0
_SEAL_CHARS = 32


class Check(Protocol):
    async def __call__(self, headers: Mapping[str, str], raw: bytes) -> bool: ...


class Hooks:
    """Works where `http.public_url` is set (the runtime sees to it that `webhooks.secret` then is, too)."""

    def __init__(self, net: Net, settings: Settings) -> None:
        self._public_url = settings.http.public_url
        secret = settings.webhooks.secret
        self._key = b"" if secret is None else key_of(secret.get_secret_value())
        self._lines: list[Line] = []
        self._checks = {} if self._public_url is None else dict(self._made(net, settings.providers))

    def calls(self, provider: str) -> bool:
        """Whether this provider calls us, so that polling it may take its time."""
        return provider in self._checks

    def url(self, provider: str, job_id: UUID) -> str | None:
        """What to name in a create request. The job's id stands in it, sealed: nobody else can make one up."""
        if self._public_url is None or provider not in PER_REQUEST or not self.calls(provider):
            return None
        return f"{self._public_url.rstrip('/')}{PATH}/{provider}/{job_id.hex}{self._seal(provider, job_id)}"

    def job_of(self, provider: str, token: str) -> UUID | None:
        """The job in whose create request this token stood."""
        id, seal = token[:-_SEAL_CHARS], token[-_SEAL_CHARS:]
        try:
            job_id = UUID(hex=id)
        except ValueError:
            return None
        sealed = hmac.compare_digest(seal.encode(errors="replace"), self._seal(provider, job_id).encode())
        return job_id if sealed and self.calls(provider) else None

    async def verify(self, provider: str, headers: Mapping[str, str], raw: bytes) -> bool:
        """Whether the provider itself sent `raw`, just now."""
        return provider in self._checks and await self._checks[provider](headers, raw)

    async def aclose(self) -> None:
        for line in self._lines:
            await line.aclose()

    def _seal(self, provider: str, job_id: UUID) -> str:
        seal = hmac.new(self._key, b"hook %b %b" % (provider.encode(), job_id.bytes), hashlib.sha256)
        return seal.hexdigest()[:_SEAL_CHARS]

    def _made(self, net: Net, providers: Mapping[str, Provider]) -> Iterator[tuple[str, Check]]:
        """Those that can be told from strangers: by a secret in the settings, or by asking them."""
        for name in (*PER_REQUEST, "openai"):
            settings = providers.get(name) or Provider()
            secret = settings.webhook_secret and _usable(name, settings.webhook_secret.get_secret_value())
            match name:
                case "luma":
                    yield name, _unsigned
                case "sync" if secret:
                    yield name, partial(_by, is_sync, secret)
                case "replicate" | "openai" if secret:
                    yield name, partial(_by, is_standard, secret)
                case "replicate":
                    line = self._line(Line(net, settings, provider=name, base_url=REPLICATE_URL))
                    yield name, Fetched(line, "v1/webhooks/default/secret", _is_replicate)
                case "fal":
                    at_rest = settings.model_copy(update={"base_url": storage_urls(settings.base_url)[0]})
                    line = self._line(Line(net, at_rest, provider=name, base_url=REST_URL, headers=KEY))
                    yield name, Fetched(line, ".well-known/jwks.json", is_fal)

    def _line(self, line: Line) -> Line:
        self._lines.append(line)
        return line


class Fetched:
    """Checks by what the provider publishes: asked for once a day, and at most once a minute where it does not fit."""

    def __init__(self, line: Line, path: str, fits: Callable[[Any, Mapping[str, str], bytes, float], bool]) -> None:
        self._line = line
        self._path = path
        self._fits = fits
        self._known: Mapping[str, Any] = {}
        self._asked = -_DAY_S
        self._asking = asyncio.Lock()

    async def __call__(self, headers: Mapping[str, str], raw: bytes) -> bool:
        for age_s in (_DAY_S, _AGAIN_S):
            async with self._asking:
                if time.monotonic() - self._asked >= age_s:
                    await self._ask()
            if self._known and self._fits(self._known, headers, raw, time.time()):
                return True
        return False

    async def _ask(self) -> None:
        self._asked = time.monotonic()
        try:
            self._known = await self._line.ask("GET", self._path)
        except AttemptError as error:
            emit("hook.unverifiable", logging.ERROR, provider=self._line.provider, error=str(error))


def remote_id(raw: bytes) -> str | None:
    """What a project's webhook is about, `{data: {id}}` (OpenAI)."""
    try:
        return str(orjson.loads(raw)["data"]["id"])
    except (ValueError, KeyError, TypeError):
        return None


async def _unsigned(headers: Mapping[str, str], raw: bytes) -> bool:  # noqa: ARG001  # Luma signs nothing
    return True


async def _by(
    fits: Callable[[str, Mapping[str, str], bytes, float], bool], secret: str, headers: Mapping[str, str], raw: bytes
) -> bool:
    return fits(secret, headers, raw, time.time())


def _is_replicate(known: Mapping[str, Any], headers: Mapping[str, str], raw: bytes, now: float) -> bool:
    try:
        return is_standard(str(known.get("key") or ""), headers, raw, now)
    except ValueError:
        return False


def _usable(provider: str, secret: str) -> str:
    try:
        key_of(secret)
    except ValueError:
        raise ConfigError(
            f"providers.{provider}.webhook_secret: it holds no key, or no base64 after whsec_; copy it whole."
        ) from None
    return secret
