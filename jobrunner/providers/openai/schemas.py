"""JSON Schemas as OpenAI's strict mode takes them (OpenAI guide, Structured outputs: supported schemas)."""

from collections.abc import Mapping
from typing import Any

_NAMED = ("properties", "$defs")
_LISTED = ("anyOf", "prefixItems")
_REFUSED = frozenset({"default", "minLength", "maxLength", "uniqueItems", "minProperties", "maxProperties"})


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with objects closed and all their properties required.

    Keywords that strict mode refuses are left out: whoever asked for the answer checks it again anyway.
    """
    made = {key: value for key, value in schema.items() if key not in _REFUSED}
    for key in _NAMED:
        if key in made:
            made[key] = {name: strict(each) for name, each in made[key].items()}
    for key in _LISTED:
        if key in made:
            made[key] = [strict(each) for each in made[key]]
    if isinstance(made.get("items"), Mapping):
        made["items"] = strict(made["items"])
    if made.get("type") == "object":
        made |= {"additionalProperties": False, "required": list(made.get("properties", {}))}
    return made
