"""What the params of the built-in tasks are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000)]
LongText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200_000)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Style = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]
Size = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$")]
"""WIDTHxHEIGHT in pixels, e.g. 1536x1024."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Source = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, pattern=r"^(https?://|data:|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-)", max_length=400_000
    ),
]
"""A file: the id of an artifact (a job's, or an upload's), an https URL, or a data: URI."""


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


def _check_text(value: str) -> None:
    """Postgres keeps neither NUL nor lone surrogates."""
    if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("holds a NUL or a lone surrogate; send plain Unicode text")
