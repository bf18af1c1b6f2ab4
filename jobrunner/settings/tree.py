"""The tree of settings: which keys there are below which, and what a mistyped one is near to."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr

FILE = "_file"
"""Behind a secret's name: the file that holds it."""


def secrets_of(model: type[BaseModel]) -> list[str]:
    return [name for name, field in model.model_fields.items() if _is_secret(field.annotation)]


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_is_secret(each) for each in get_args(annotation))


def inner_model(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model below a field, and whether free keys (`providers.NAME`) come first."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    if get_origin(annotation) is Mapping:
        value = get_args(annotation)[1]
        return (value if isinstance(value, type) and issubclass(value, BaseModel) else None), True
    return None, False


def unknown_part(model: type[BaseModel], path: list[str], at: str = "") -> Iterator[tuple[str, list[str]]]:
    """The first part of `path` that is no key of `model`, with the keys there are."""
    head, *rest = path
    known = [*model.model_fields, *(f"{name}{FILE}" for name in secrets_of(model))]
    if head not in known:
        yield f"{at}{head}", [f"{at}{each}" for each in known]
        return
    field = model.model_fields.get(head)
    inner, free_keys = inner_model(field.annotation) if field is not None else (None, False)
    place = f"{at}{head}"
    if free_keys and rest:
        place, rest = f"{place}.{rest[0]}", rest[1:]
    if inner is not None and rest:
        yield from unknown_part(inner, rest, f"{place}.")
    elif rest:
        yield f"{place}.{rest[0]}", [place]


def nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean `{near[0]}`?" if near else f"; known: {', '.join(sorted(known))}."
