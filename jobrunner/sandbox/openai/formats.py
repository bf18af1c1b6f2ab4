"""What chat and responses read alike: the words of a message, and the JSON Schema that an answer shall fit."""

from collections.abc import Iterator, Mapping
from typing import Any

from jobrunner.sandbox.openai.protocol import invalid


def spoken(content: Any) -> str:
    """The words of a message: a string, or parts of which some are text."""
    if isinstance(content, list):
        return "\n".join(str(each.get("text") or "") for each in content if isinstance(each, dict))
    return content if isinstance(content, str) else ""


def schema_of(format: Any, param: str) -> Mapping[str, Any] | None:
    """The JSON Schema that a `response_format` or a `text.format` asks for; None for plain text.

    In strict mode every object must be closed and require all that it names, as the API has it.
    """
    if format is None or format == {"type": "text"}:
        return None
    if not isinstance(format, dict) or format.get("type") != "json_schema":
        raise invalid(param, "The sandbox answers text and json_schema.")
    named = format.get("json_schema", format)
    schema = named.get("schema") if isinstance(named, dict) else None
    if not isinstance(schema, dict) or schema.get("type") != "object" or not named.get("name"):
        raise invalid(param, f"Invalid '{param}': it needs a name, and the schema of an object.")
    if named.get("strict"):
        for each in _objects(schema):
            fields = set(each.get("properties", {}))
            if each.get("additionalProperties") is not False or set(each.get("required", ())) != fields:
                raise invalid(
                    param,
                    f"Invalid schema for '{named['name']}': 'additionalProperties' is required to be supplied and to "
                    "be false, and 'required' to include every key in properties.",
                    code="invalid_json_schema",
                )
    return schema


def _objects(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Every schema of an object inside `schema`."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for each in schema.values():
            yield from _objects(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _objects(each)
