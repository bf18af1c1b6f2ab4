"""URLs that let whoever holds one download one artifact, without a key, until they expire."""

import hashlib
import hmac
import re
import time
from datetime import UTC, datetime
from typing import Annotated

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from yarl import URL

from jobrunner.errors import SignatureInvalid, SignedUrlsOff, UrlExpired

SIGNATURE = "signature"
EXPIRES = "expires"

_HOUR_S = 3600
_WEEK_S = 7 * 86_400
_SECONDS = re.compile(r"[0-9]{1,12}")
_GETTING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


class Signing(BaseModel):
    """The query of POST /v1/artifacts/{id}/url. `expires_s`: for how long the URL is good, in seconds."""

    model_config = ConfigDict(extra="forbid")

    expires_s: Annotated[int, Field(ge=1, le=_WEEK_S)] = _HOUR_S


class SignedUrls:
    """HMAC-SHA256 over path and expiry, with `http.url_secret`. Another secret ends all URLs at once."""

    def __init__(self, secret: SecretStr | None) -> None:
        self._secret = None if secret is None else secret.get_secret_value().encode()

    def sign(self, path: str, expires_s: int) -> tuple[str, datetime]:
        """The URL, relative as an artifact's `path` is, and when it expires. Raises SignedUrlsOff."""
        expires = int(time.time()) + expires_s
        query = {EXPIRES: str(expires), SIGNATURE: self._signature(path, expires)}
        return str(URL(path).with_query(query)), datetime.fromtimestamp(expires, UTC)

    def check(self, request: web.Request) -> None:
        """Whether the query's signature is for this very path, and still good.

        Raises SignatureInvalid, UrlExpired, SignedUrlsOff.
        """
        signature, expires = request.query[SIGNATURE], request.query.get(EXPIRES, "")
        known = request.method in _GETTING and _SECONDS.fullmatch(expires)
        if not known or not self._fits(signature, request.path, int(expires)):
            raise SignatureInvalid(
                "This URL's signature does not fit: it was cut, changed, or signed with a secret that is no more. Ask "
                "for a new one with POST /v1/artifacts/{id}/url."
            )
        if time.time() >= int(expires):
            raise UrlExpired("This URL has expired. Ask for a new one with POST /v1/artifacts/{id}/url.")

    def _fits(self, signature: str, path: str, expires: int) -> bool:
        return hmac.compare_digest(signature.encode(errors="replace"), self._signature(path, expires).encode())

    def _signature(self, path: str, expires: int) -> str:
        if self._secret is None:
            raise SignedUrlsOff(
                "This server signs no URLs: its operator has to set `http.url_secret`, e.g. JOBRUNNER_HTTP__URL_SECRET "
                "to the output of: openssl rand -hex 32"
            )
        return hmac.new(self._secret, f"artifact {expires} {path}".encode(errors="replace"), hashlib.sha256).hexdigest()
