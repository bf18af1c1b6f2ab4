"""Sessions: how a browser stays signed in with a key that no script of its page ever sees.

A session is a cookie that says itself whose it is: the key's name and an expiry, sealed by HMAC-SHA256 with what the
settings keep of that key. So every server of the same settings knows it, none keeps it, and it dies with its key.
Browsers send a cookie with whatever a page makes them ask; so who acts by one must also show, by its token in a header,
that they could read our answers.
"""

import base64
import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aiohttp import web
from pydantic import SecretStr

from jobrunner.api.guard.keys import Keys
from jobrunner.api.routes import Caller
from jobrunner.errors import TokenMissing

COOKIE: Final = "jobrunner_session"
TOKEN: Final = "X-Jobrunner-Token"  # noqa: S105  # a header's name
LASTS_S: Final = 12 * 3600

_FORM = re.compile(r"([A-Za-z0-9_=-]+)\.([0-9]{1,12})\.[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Session:
    caller: Caller
    cookie: str
    token: str
    expires_at: datetime


class Sessions:
    """`secret`, where there is one, is part of every seal: the hash of a key is then not enough to forge a cookie."""

    def __init__(self, keys: Keys, secret: SecretStr | None) -> None:
        self._keys = keys
        self._secret = b"" if secret is None else secret.get_secret_value().encode()

    def begin(self, key: str) -> Session:
        """Raises HTTPUnauthorized for a key that is none of ours."""
        return self._made(self._keys.known(key), int(time.time()) + LASTS_S)

    def of(self, request: web.Request) -> Session | None:
        """The one that the request's cookie is for, as long as it is good."""
        cookie = request.cookies.get(COOKIE, "")
        if (said := _FORM.fullmatch(cookie)) is None or time.time() >= int(said[2]):
            return None
        try:
            caller = self._keys.named(base64.urlsafe_b64decode(said[1]).decode())
        except ValueError:
            return None
        session = None if caller is None else self._made(caller, int(said[2]))
        return session if session is not None and hmac.compare_digest(session.cookie, cookie) else None

    def _made(self, caller: Caller, expires: int) -> Session:
        said = f"{base64.urlsafe_b64encode(caller.name.encode()).decode()}.{expires}"
        cookie = f"{said}.{self._seal(caller, f'session {said}')}"
        return Session(caller, cookie, self._seal(caller, f"token {cookie}"), datetime.fromtimestamp(expires, UTC))

    def _seal(self, caller: Caller, text: str) -> str:
        secret = self._secret + self._keys.hash_of(caller.name).encode()
        return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()


def check_token(request: web.Request, session: Session) -> None:
    """Raises TokenMissing unless the request shows the session's token."""
    given = request.headers.get(TOKEN, "").encode(errors="replace")
    if not hmac.compare_digest(given, session.token.encode()):
        raise TokenMissing(
            f"Who acts by a cookie must send its session's token in the header {TOKEN}: GET /v1/session tells it. "
            "Programs send a key instead, `Authorization: Bearer KEY`."
        )
