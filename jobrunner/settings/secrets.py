"""Secrets: where they come from besides the settings themselves, and where they are in them.

They may come from files, as Docker and Kubernetes hand them over: for every secret `name` there is `name_file`.
"""

import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel, SecretStr

from jobrunner.errors import ConfigError
from jobrunner.settings.tree import FILE, inner_model, secrets_of

_PRIVATE = frozenset({"mint.signing_key"})
"""Whoever reads it can spend: its file must not be open to everyone (in Kubernetes: `defaultMode: 0400`)."""

Naming = Callable[[str], str]
"""How a source of settings writes `providers.openai.api_key`, for people to find it there."""


def with_files(said: Mapping[str, Any], model: type[BaseModel], naming: Naming, at: str = "") -> dict[str, Any]:
    """What one source says, with each `name_file` replaced by `name` and what that file holds.

    Raises ConfigError where both are given, and for a file that cannot be used; what it holds is never shown.
    """
    read = dict(said)
    for name in secrets_of(model):
        if (named := read.pop(f"{name}{FILE}", None)) is None:
            continue
        place = f"{at}{name}"
        if name in read:
            raise ConfigError(f"{naming(place)} and {naming(place + FILE)} are both given; keep one of them.")
        read[name] = _content(Path(str(named)).expanduser(), naming(place + FILE), private=place in _PRIVATE)
    for name, value in read.items():
        if isinstance(value, Mapping) and name in model.model_fields:
            inner, free_keys = inner_model(model.model_fields[name].annotation)
            if inner is not None:
                read[name] = _below(value, inner, naming, f"{at}{name}.", free_keys=free_keys)
    return read


def _below(
    value: Mapping[str, Any], inner: type[BaseModel], naming: Naming, at: str, *, free_keys: bool
) -> dict[str, Any]:
    if not free_keys:
        return with_files(value, inner, naming, at)
    return {
        key: with_files(each, inner, naming, f"{at}{key}.") if isinstance(each, Mapping) else each
        for key, each in value.items()
    }


def _content(path: Path, named: str, *, private: bool) -> str:
    """Without the newline that editors and `echo` leave at its end."""
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{named}: {path} holds no UTF-8 text.") from None
    except OSError as error:
        raise ConfigError(f"{named}: {path} cannot be read: {error.strerror}.") from None
    if private and mode & stat.S_IRWXO:
        raise ConfigError(f"{named}: everyone can get at {path}; `chmod 600 {path}` first.")
    if not text:
        raise ConfigError(f"{named}: {path} is empty.")
    return text


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
