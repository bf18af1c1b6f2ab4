"""Where an outbound URL may lead: the rules, as pure functions of text and addresses. No I/O.

Two readings of one URL are how such guards are passed, so a URL is parsed once, by the library that will send it,
and whatever two parsers could read differently (blanks, backslashes, odd spellings of an address) is refused.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from yarl import URL

from jobrunner.errors import ConfigError, UrlNotAllowed

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
"""The only IPv6 space in public use; ::ffff:0:0/96 (mapped) and 64:ff9b::/96 (NAT64) lie outside it."""
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # IETF protocol assignments, wholly (Python 3.11 knows parts)
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # Azure's metadata and DNS host, a public address by its number only
        "2001::/23",  # Teredo and other IETF assignments
        "2002::/16",  # 6to4: carries any IPv4 address inside
        "3fff::/20",  # documentation (RFC 9637), unknown to Python 3.11
    )
)
_BLANK = re.compile(r"[\x00-\x20\x7f\\]")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_ENTRY = re.compile(r"(?P<host>\[[^\[\]]+\]|[^:/\[\]]+)(:(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class _Allowed:
    """One entry of `net.allow`; no port means every port."""

    host: str | _Network
    port: int | None

    def covers(self, host: str | Address, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if isinstance(self.host, str) or isinstance(host, str):
            return self.host == host
        return host in self.host


class Policy:
    """The rules with the operator's exceptions: `allow` holds `host`, `host:port` or CIDR (`net.allow`)."""

    def __init__(self, allow: Sequence[str] = ()) -> None:
        self._allow = tuple(_parse_entry(entry) for entry in allow)

    def may_reach(self, address: Address, port: int) -> bool:
        return is_public(address) or any(entry.covers(address, port) for entry in self._allow)

    def vet(self, text: str) -> tuple[URL, bool]:
        """The URL to ask for, and whether its host is allowed by name (then its addresses are, too)."""
        url = _parse_url(text)
        host, port = (url.raw_host or "").rstrip("."), url.port or 0
        address = _literal(host)
        if address is None and not _NAME.fullmatch(host):
            raise UrlNotAllowed(f"{shown(text)} names no host that a URL may name.")
        listed = any(entry.covers(address or host, port) for entry in self._allow)
        local = host == "localhost" or host.endswith(".localhost")
        if not listed and (local or (address is not None and not is_public(address))):
            raise UrlNotAllowed(f"{shown(text)} is not public; an operator can name it in `net.allow`.")
        if url.scheme == "http" and not listed:
            raise UrlNotAllowed(f"{shown(text)} must be https; http is for hosts in `net.allow` only.")
        exact = URL(text, encoded=True) if text.isascii() else url  # a signed URL must go out as it was signed
        same = (exact.scheme, exact.raw_host, exact.port) == (url.scheme, url.raw_host, url.port)
        return (exact if same else url), listed and address is None


def is_public(address: Address) -> bool:
    """Whether anyone may be sent there: no private, local, metadata, multicast, reserved or tunnelled address."""
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    if address.version == 6 and address not in _GLOBAL_V6:  # noqa: PLR2004
        return False
    return not any(address in network for network in _NOT_PUBLIC if network.version == address.version)


def _parse_entry(entry: str) -> _Allowed:
    try:
        return _Allowed(ipaddress.ip_network(entry), None)
    except ValueError:
        pass
    match = _ENTRY.fullmatch(entry)
    port = int(match["port"]) if match and match["port"] else None
    host = match["host"].strip("[]").rstrip(".").lower() if match else ""
    try:
        address = _literal(host)
    except UrlNotAllowed:
        address, host = None, ""
    if (address is None and not _NAME.fullmatch(host)) or port == 0 or (port or 0) > 65535:  # noqa: PLR2004
        raise ConfigError(f"setting `net.allow`: {entry!r} is no host, host:port or CIDR such as 10.1.0.0/16.")
    return _Allowed(host if address is None else ipaddress.ip_network(address), port)


def _literal(host: str) -> Address | None:
    """The IP address that `host` spells, if any. Odd spellings (0x7f.1, 2130706433) are refused outright."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        socket.inet_aton(host)  # no I/O; what getaddrinfo would take for an address
    except (OSError, ValueError):
        return None
    raise UrlNotAllowed(f"{host} is an IP address in disguise; write it as four decimal numbers.")


def _parse_url(text: str) -> URL:
    if _BLANK.search(text):
        raise UrlNotAllowed(f"{shown(text)} contains a blank, a backslash or a control character.")
    try:
        url = URL(text)
        scheme, authority = url.scheme, url.raw_authority
    except ValueError as error:
        raise UrlNotAllowed(f"{shown(text)} is no URL: {error}") from None
    if scheme not in ("http", "https"):
        raise UrlNotAllowed(f"{shown(text)} must begin with https://.")
    if "@" in re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0] or "@" in authority:
        raise UrlNotAllowed(f"{shown(text)} carries a user name or password; leave it out.")
    return url


def shown(url: str) -> str:
    """A URL for messages: without what may be secret (user, password, query)."""
    scheme, _, rest = url.partition("://")
    bare = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = bare.partition("/")
    bare = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" if rest else url.split(",", 1)[0]
    return repr(bare[:200])
