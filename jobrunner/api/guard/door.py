"""The guard at the door: who asks, under which name, from which page, and what they may do."""

import ipaddress
from functools import lru_cache

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from yarl import URL

from jobrunner.api.guard.cors import Cors
from jobrunner.api.guard.keys import Keys
from jobrunner.api.guard.sessions import Sessions, check_token
from jobrunner.api.guard.signed_urls import SIGNATURE, SignedUrls
from jobrunner.api.routes import CALLER, Caller, route_of
from jobrunner.errors import ConfigError, Forbidden, ScopeMissing
from jobrunner.providers.hooks import PATH as HOOKS
from jobrunner.settings import Settings
from jobrunner.settings.tables import SCOPES, Http, Scope

EVERYBODY = Caller("everybody", SCOPES)
"""Who asks a server that has no keys."""

NOBODY = Caller("nobody", frozenset())
"""Who asks what is open to everyone, or nothing that there is."""

HOLDER = Caller("holder of a signed URL", frozenset({"read"}))

_READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


class Door:
    """A middleware. Requests that it lets in have their CALLER."""

    def __init__(self, http: Http, keys: Keys, sessions: Sessions, urls: SignedUrls, cors: Cors) -> None:
        self._keys = keys
        self._sessions = sessions
        self._urls = urls
        self._cors = cors
        self._hosts = frozenset(host.lower() for host in http.hosts)
        self._any_host = not self._hosts and (http.trust_network or bool(keys))

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Raises Forbidden, ScopeMissing, TokenMissing, HTTPUnauthorized, and what is wrong with a signed URL."""
        request[CALLER] = NOBODY
        route = route_of(request)
        if route is None or not route.path.startswith(HOOKS):  # providers know a public name; seals guard their calls
            self._check_host(request)
            if (preflight := self._cors.preflight(request)) is not None:
                return preflight
            self._check_origin(request)
        if route is not None and route.scope is not None:
            request[CALLER] = self._caller(request)
            _check_scope(request[CALLER], route.scope)
        return await handler(request)

    def _caller(self, request: web.Request) -> Caller:
        if SIGNATURE in request.query:
            self._urls.check(request)
            return HOLDER
        if not self._keys:
            return EVERYBODY
        session = None if hdrs.AUTHORIZATION in request.headers else self._sessions.of(request)
        if session is None:
            return self._keys.caller(request)
        if request.method not in _READING:
            check_token(request, session)
        return session.caller

    def _check_host(self, request: web.Request) -> None:
        """A name that was rebound to our address makes a strange page one of our own origin."""
        host = request.headers.get(hdrs.HOST)
        name = "" if host is None else _name_in(host)
        if self._any_host or host is None or name in self._hosts or is_loopback(name):
            return
        raise Forbidden(
            f"This server does not answer to Host {host[:200]!r}. Ask for localhost, or have its operator add the name "
            "to the setting `http.hosts`."
        )

    def _check_origin(self, request: web.Request) -> None:
        """No page of another origin may act."""
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or request.method in _READING or self._cors.allows(origin):
            return
        if origin.partition("://")[2] != request.headers.get(hdrs.HOST):
            raise Forbidden(
                f"Pages of {origin[:200]!r} may not act here: it is another origin. Its operator may list it in "
                "`http.cors_origins`."
            )


def refuse_strangers(settings: Settings) -> None:
    """Raises ConfigError where whoever reaches the port could do anything."""
    http = settings.http
    if settings.keys or http.trust_network or is_loopback(http.host):
        return
    raise ConfigError(
        f"http.host = {http.host!r} is reachable from outside, and there are no API keys: whoever reaches the port "
        "may submit jobs that cost money. Make a key, `jobrunner keys create NAME --scope submit --scope read`, and "
        "put the lines that it prints into settings.toml. Or set http.host = '127.0.0.1'; or, where a firewall or "
        "proxy decides who gets through, http.trust_network = true."
    )


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, surely means this machine and nobody else can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _check_scope(caller: Caller, scope: Scope) -> None:
    if not caller.may(scope):
        raise ScopeMissing(
            f"This needs the scope {scope!r}, and the key {caller.name!r} has "
            f"{', '.join(sorted(caller.scopes))}. Use another key, or have the operator add the scope to it."
        )


@lru_cache(maxsize=256)  # a client sends the same one each time
def _name_in(host: str) -> str:
    """`host[:port]` without its port; nothing for what is no host."""
    try:
        return URL(f"http://{host}").host or ""
    except ValueError:
        return ""
