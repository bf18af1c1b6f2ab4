"""API keys: how they are made, and whose one is."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from aiohttp import hdrs, web

from jobrunner.api.routes import Caller
from jobrunner.settings.tables import Key

PREFIX = "jr_"
"""Tells people, and scanners for leaked secrets, what they have found."""

_REALM = 'Bearer realm="jobrunner"'
_HOW = "Send the header `Authorization: Bearer KEY`; `jobrunner keys create` makes a key."


def new_key() -> str:
    """256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_of(key: str) -> str:
    """What the settings keep of a key: SHA-256 in hex."""
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


class Keys:
    """The keys of the settings. Without any, nobody is asked for one."""

    def __init__(self, keys: Mapping[str, Key]) -> None:
        self._hashes = {name: key.hash for name, key in keys.items()}
        self._callers = {name: _caller(name, key) for name, key in keys.items()}

    def __bool__(self) -> bool:
        return bool(self._callers)

    def named(self, name: str) -> Caller | None:
        return self._callers.get(name)

    def hash_of(self, name: str) -> str:
        """What the settings keep of the key of this name. Raises KeyError."""
        return self._hashes[name]

    def caller(self, request: web.Request) -> Caller:
        """Whose key stands in the Authorization header. Raises HTTPUnauthorized.

        One in the query, where logs and histories would keep it, does not count.
        """
        scheme, _, key = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise web.HTTPUnauthorized(
                text=f"This needs an API key, and none was sent. {_HOW}", headers={hdrs.WWW_AUTHENTICATE: _REALM}
            )
        return self.known(key.strip())

    def known(self, key: str) -> Caller:
        """Whose it is. Raises HTTPUnauthorized.

        Every key is compared, each in constant time: how long it takes says nothing about any of them.
        """
        hashed = hash_of(key)
        found = [name for name, known in self._hashes.items() if hmac.compare_digest(known, hashed)]
        if not found:
            raise web.HTTPUnauthorized(
                text=f"This API key is not known here, or was revoked. {_HOW}",
                headers={hdrs.WWW_AUTHENTICATE: f'{_REALM}, error="invalid_token"'},  # RFC 6750, section 3
            )
        return self._callers[found[0]]


def _caller(name: str, key: Key) -> Caller:
    return Caller(name, frozenset(key.scopes), key.user_id, key.requests_per_minute, key.jobs_at_once)
