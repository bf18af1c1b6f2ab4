"""How Postgres is reached by a URL, and what it means where that fails."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Sessions:
    """What asyncpg takes for a pool.

    In those `anew` Postgres plans a statement each time, for its values: a plan for whatever values would be made for
    the whole table. In those `by_key`, for statements that find their rows by the primary key whatever the values
    are, it plans once, since planning takes as long as the work; a plan that was made in an empty table's first minute
    must suit the full one, too.
    """

    anew: Mapping[str, Any]
    by_key: Mapping[str, Any]


_ANEW = {"plan_cache_mode": "force_custom_plan"}
_BY_KEY = {
    "plan_cache_mode": "force_generic_plan",
    **dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin"), "off"),
}


async def sessions(place: Mapping[str, Any], *, timeout_s: float) -> Sessions:
    """Statements are prepared once where the sessions at this `address` are ours alone.

    A transaction-mode pooler gives each transaction another session, which knows no statement of ours. Whoever stands
    in between answers a connection with a process id of its own making, where Postgres tells that of its backend.
    """
    connection = await asyncpg.connect(**place, statement_cache_size=0, timeout=timeout_s)
    try:
        ours_alone = await connection.fetchval("SELECT pg_backend_pid()") == connection.get_server_pid()
    finally:
        await connection.close(timeout=timeout_s)
    name = {"application_name": "jobrunner"}
    if not ours_alone:
        lent = {"statement_cache_size": 0, "server_settings": name}
        return Sessions(lent, lent)
    anew, by_key = (
        {"max_cached_statement_lifetime": 0, "server_settings": {**name, "jit": "off", **planning}}
        for planning in (_ANEW, _BY_KEY)
    )
    return Sessions(anew, by_key)


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
