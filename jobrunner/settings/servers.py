"""URLs of Postgres and Redis as people write them, and why one of these servers is not trusted."""

import re
import ssl
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator, SecretStr

from jobrunner.errors import ConfigError

_HOST = r"(?:\[[^\]@/]+\]|[^\s:@/?#\[\],]*)(?::\d{1,5})?"
_PARAMETER = r"[\w.-]+=[^&#]*"
_PLACE = rf"{_HOST}(?:,{_HOST})*(?:/[^@?#]*)?(?:\?(?:{_PARAMETER}(?:&{_PARAMETER})*)?)?"
_OPEN = re.compile(rf"(\w+)://{_PLACE}")
_GUARDED = re.compile(rf"(?P<scheme>\w+)://(?P<user>[^:]*?)(?::(?P<password>.*?))?@(?P<place>{_PLACE})", re.DOTALL)
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_WRONG_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL's x509_vfy.h


def _encoded(url: SecretStr, *, example: str, schemes: frozenset[str]) -> SecretStr:
    """The URL with user and password percent-encoded, as the libraries read it; what is encoded already stays.

    So a password may hold anything; only `%` before two hex digits, and what looks like `?key=`, must be encoded.
    Raises ValueError, which shows nothing of the URL.
    """
    text = url.get_secret_value()
    found = _OPEN.fullmatch(text) or _GUARDED.fullmatch(text)
    if found is None or found[1] not in schemes:
        raise ValueError(f"must read {example}")
    if found.re is _OPEN:
        return url
    who = _quoted(found["user"]) + ("" if found["password"] is None else f":{_quoted(found['password'])}")
    return SecretStr(f"{found['scheme']}://{who}@{found['place']}")


def _quoted(text: str) -> str:
    return quote(_BARE_PERCENT.sub("%25", text), safe="%", errors="surrogateescape")


PostgresUrl = Annotated[
    SecretStr,
    AfterValidator(
        partial(
            _encoded,
            example="postgresql://user:password@host:5432/database?sslmode=verify-full",
            schemes=frozenset({"postgresql", "postgres"}),
        )
    ),
]
RedisUrl = Annotated[
    SecretStr,
    AfterValidator(
        partial(
            _encoded,
            example="redis://:password@host:6379/0, rediss://... for TLS or unix:///path/to/socket",
            schemes=frozenset({"redis", "rediss", "unix"}),
        )
    ),
]


def check_files(setting: str, files: Mapping[str, str]) -> None:
    """Raises ConfigError for a certificate or key, by its parameter in the URL, that this process cannot read."""
    for parameter, path in files.items():
        try:
            Path(path).open("rb").close()
        except OSError as error:
            raise ConfigError(
                f"setting `{setting}`: its {parameter} names {path}, which cannot be read: {error.strerror}."
            ) from None


def tls_failure(error: BaseException | None, *, setting: str, authority: str) -> str | None:
    """What went wrong with TLS and what to do, if that is behind `error`. `authority`: the URL's parameter for a CA."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"setting `{setting}`: TLS failed ({error.reason or error}). Does the server speak it on this port?"
    said = f"setting `{setting}`: the server's certificate is refused: {error.verify_message.rstrip('.')}. "
    if error.verify_code in _WRONG_NAME:
        return f"{said}Reach the server by a name that stands in its certificate."
    return f"{said}If it is the right server, name the authority that signed it: {authority}=/path/to/ca.pem"
