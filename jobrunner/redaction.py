"""What text may show wherever people read it: no secret that we know, and nothing that a terminal or a log obeys.

Secrets are known by value: `keep_secret` is told those of the settings when a process opens its runtime. Whatever an
error, a provider or a task then says, logs, rows and problem documents show stars in their place.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote

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
