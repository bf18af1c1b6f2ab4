"""Reads queries.sql: one statement under each `-- name:` line."""

import re
from functools import cache
from importlib import resources


@cache
def _statements() -> dict[str, str]:
    text = resources.files("jobrunner.store").joinpath("queries.sql").read_text(encoding="utf-8")
    _, *parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def query(name: str) -> str:
    """The statement called `name`. Raises KeyError."""
    return _statements()[name]
