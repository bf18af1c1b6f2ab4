"""What text may show wherever people read it: no secret that we know, and nothing that a terminal or a log obeys.

Secrets are known by value: `keep_secret` is told those of the settings when a process opens its runtime. Whatever an
error, a provider or a task then says, logs, rows and problem documents show stars in their place.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pydantic import BaseModel, SecretStr

STARS = "**********"

_SHORTEST = 6
"""A secret of fewer characters would put stars into the middle of plain words."""

_known: set[str] = set()
_pattern = re.compile(r"(?!)")


def keep_secret(values: Iterable[str]) -> None:
    """From now on, in this process, `redacted` shows none of these."""
    global _pattern  # noqa: PLW0603  # one pattern is faster than a search for each secret, in every line of the log
    _known.update(form for value in values for form in (value, quote(value, safe="")) if len(value) >= _SHORTEST)
    _pattern = re.compile("|".join(map(re.escape, sorted(_known, key=len, reverse=True))) or r"(?!)")


def redacted(text: str) -> str:
    return _pattern.sub(STARS, text)


def escaped(text: str) -> str:
    """On one line, and without control characters: new lines, ANSI sequences, marks that turn the reading direction."""
    return text if text.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def secrets_in(value: object) -> Iterator[str]:
    """Every secret in a tree of settings; of a URL that is one also the password, which drivers quote alone."""
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        yield text.removeprefix("0x").removeprefix("whsec_")  # libraries show keys without what they begin with
        yield from _passwords(text)
    elif isinstance(value, BaseModel):
        yield from secrets_in(value.__dict__)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from secrets_in(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from secrets_in(each)


def _passwords(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    if parts.scheme and parts.password:
        yield parts.password
        yield unquote(parts.password)
    yield from parse_qs(parts.query).get("password", ())
