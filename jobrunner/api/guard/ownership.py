"""A caller that is bound to a user acts for that user, and for nobody else."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from jobrunner.api.routes import Caller
from jobrunner.declare import TaskSpec
from jobrunner.errors import Forbidden

_USER = "user_id"


def owner(caller: Caller, named: str | None) -> str | None:
    """Whose it will be, where the request names `named`. Raises Forbidden if the caller may not act for them."""
    if caller.user_id is None or named is None:
        return caller.user_id or named
    if named != caller.user_id:
        raise Forbidden(
            f"The key {caller.name!r} is bound to user {caller.user_id!r} and may not act for {named[:200]!r}. Leave "
            "user_id out, or use a key that is not bound."
        )
    return named


def owned_params(caller: Caller, spec: TaskSpec[Any, Any], params: Mapping[str, Any]) -> BaseModel:
    """The params as the task's model, with the caller's user where they name none.

    Raises InvalidParams, and Forbidden where they name another.
    """
    field = spec.params.model_fields.get(_USER)
    if caller.user_id is not None and field is not None:
        word = field.validation_alias if isinstance(field.validation_alias, str) else _USER
        if params.get(word, params.get(_USER)) is None:
            params = {**params, word: caller.user_id}
    made: BaseModel = spec.validate(params)
    named = getattr(made, _USER, None)
    owner(caller, None if named is None else str(named))
    return made
