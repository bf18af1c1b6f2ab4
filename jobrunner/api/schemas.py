"""JSON Schemas of models, put where one OpenAPI document keeps them all. What a user's model breaks stays its own."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from jobrunner.client.showing import Mode

Schema = dict[str, Any]
Model = tuple[type[BaseModel], Mode]

PLACE = "#/components/schemas/"


def schemas_of(models: Iterable[Model], *, prefix: str = "") -> tuple[dict[Model, Schema], dict[str, Schema]]:
    """References to the models' schemas, and these by their names, which begin with `prefix`."""
    listed = list(dict.fromkeys(models))
    references, whole = models_json_schema(listed, ref_template=f"{PLACE}{prefix}{{model}}")
    named = {f"{prefix}{name}": schema for name, schema in whole.get("$defs", {}).items()}
    return {each: references[each] for each in listed}, named


def name_in(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).removeprefix(PLACE)


def without_null(schema: Mapping[str, Any]) -> Schema:
    """For a query: what is null there is left out."""
    kept = {key: value for key, value in schema.items() if key != "anyOf" and not (key == "default" and value is None)}
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        return {**choices[0], **kept}
    return {**kept, "anyOf": choices} if choices else kept
