"""Secrets from files, as Docker and Kubernetes hand them over: for every secret `name` there is `name_file`."""

import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

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
