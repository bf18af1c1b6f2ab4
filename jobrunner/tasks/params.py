"""What the params of the built-in tasks are made of."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from jobrunner.errors import UrlNotAllowed

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000)]
LongText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200_000)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Style = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]
Size = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$")]
"""WIDTHxHEIGHT in pixels, e.g. 1536x1024."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class _File(str):
    """Text that names a file, told by its type from text that only happens to look like a URL."""

    __slots__ = ()


Source = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, pattern=r"^(https?://|data:|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-)", max_length=400_000
    ),
    AfterValidator(_File),
    Field(json_schema_extra={"format": "artifact"}),
]
"""A file: the id of an artifact (a job's, or an upload's), an https URL, or a data: URI.

The JSON Schema says `"format": "artifact"`: the dashboard's form lets people choose a file there.
"""


_PLAIN = frozenset({str, int, float, bool, type(None)})


class Params(BaseModel):
    """Every built-in task says whose job it is; `record_id` names the application's own row."""

    model_config = ConfigDict(extra="forbid")

    user_id: Name
    record_id: Name | None = None

    @field_validator("*", mode="after")
    @classmethod
    def _storable(cls, value: object) -> object:
        if isinstance(value, str):
            _check_text(value)
        return value


def pixels(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    return int(width), int(height)


def urls_in(params: BaseModel) -> Iterator[tuple[str, str]]:
    """Every http(s) URL that names a file (a `Source`), with its path, such as `params.clips.0`."""
    return _urls(params, "params")


def check_urls(params: BaseModel, check: Callable[[str], None]) -> None:
    """Raises UrlNotAllowed, with the path, for the first URL that `check` raises it for."""
    if _PLAIN.issuperset(map(type, vars(params).values())) and not params.model_extra:  # mostly
        return
    for path, url in urls_in(params):
        try:
            check(url)
        except UrlNotAllowed as error:
            where = {"path": path, "message": str(error), "type": error.code}
            raise UrlNotAllowed(f"{path}: {error}", [where]) from None


def _urls(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, _File) and value.startswith("http"):
        yield path, str(value)
        return
    parts: Iterable[tuple[object, object]] = ()
    if isinstance(value, BaseModel):
        parts = value
    elif isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    for name, part in parts:
        if type(part) not in _PLAIN:
            yield from _urls(part, f"{path}.{name}")


def _check_text(value: str) -> None:
    """Postgres keeps neither NUL nor lone surrogates."""
    if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("holds a NUL or a lone surrogate; send plain Unicode text")
