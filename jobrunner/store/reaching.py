"""How Postgres is reached by a URL, and what it means where that fails."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from jobrunner.errors import ConfigError, Unavailable
from jobrunner.settings.servers import check_files, tls_failure

_SETTING = "database_url"
_CA = "sslrootcert"
_FILES = (_CA, "sslcert", "sslkey", "sslcrl")
_SYSTEM = "system"
_WRONG = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)


def address(url: str) -> dict[str, Any]:
    """What asyncpg takes for `url`, whose parameters are libpq's. Raises ConfigError for a file that is not there.

    `sslrootcert=system` trusts whom this machine trusts, and always checks the name, as in libpq 16; asyncpg 0.32
    would look for a file of that name.
    """
    asked = dict(parse_qsl(urlsplit(url).query))
    system = asked.get(_CA) == _SYSTEM
    check_files(_SETTING, {name: asked[name] for name in _FILES if name in asked and not (name == _CA and system)})
    if system:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["postgresql"])  # wanted where sslnegotiation=direct
        if "sslcert" in asked:
            context.load_cert_chain(asked["sslcert"], asked.get("sslkey"), asked.get("sslpassword"))
        return {"dsn": url, "ssl": context}
    return {"dsn": url}


@contextmanager
def reaching(otherwise: str = "") -> Iterator[None]:
    """Around a first connection. Raises ConfigError where waiting mends nothing, else Unavailable (and `otherwise`)."""
    try:
        yield
    except _WRONG as error:
        raise ConfigError(f"database_url does not work: {error}.") from None
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if failure := tls_failure(error, setting=_SETTING, authority=_CA):
            raise ConfigError(failure) from None
        what = str(error) or type(error).__name__
        raise Unavailable(f"Postgres did not answer ({what}){otherwise}.") from error
    except ValueError:  # its words may quote the URL
        raise ConfigError("database_url does not work: it cannot be read.") from None
