"""The OpenAPI 3.1 document, made from the routes, the tasks and the tables of codes and headers. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel

from jobrunner.api import codes, headers
from jobrunner.api.answers import Problem
from jobrunner.api.codes import Code
from jobrunner.api.examples import BODIES, PARAMS, curl
from jobrunner.api.guard.sessions import COOKIE
from jobrunner.api.guard.signed_urls import SIGNATURE
from jobrunner.api.headers import Header
from jobrunner.api.problems import CONTENT_TYPE
from jobrunner.api.routes import Route
from jobrunner.api.schemas import PLACE, Model, Schema, name_in, schemas_of, without_null
from jobrunner.api.shapes import Submission
from jobrunner.client.showing import Mode, schema_of
from jobrunner.declare import TaskSpec
from jobrunner.errors import SignatureInvalid

Tasks = Mapping[str, TaskSpec[Any, Any]]

_ABOUT = (
    "Slow, paid generation work as jobs: submit one, and a worker runs it; what it made is kept as artifacts. "
    "What is accepted is kept, whatever breaks. Times are RFC 3339 in UTC. Errors are problem documents (RFC 9457): "
    "let programs decide by `code`, `detail` says what to do. Lists come in pages: send `next_cursor` as `cursor` "
    "while `has_more` is true. JSON is read strictly: unknown fields, a key given twice, and text or numbers that "
    "Postgres cannot keep are refused, never guessed at."
)
_BEARER = (
    "An API key, made by `jobrunner keys create`; the scope that a route needs stands with it, and `admin` has all. "
    "A key that is bound to a user sees and touches only what is that user's. A server without keys listens on its own "
    "machine alone, and asks for none."
)
_SESSION = (
    "POST /v1/session takes a key and sets this cookie, for a page in a browser: it is good for twelve hours. What is "
    "not GET or HEAD needs the header X-Jobrunner-Token beside it."
)
_SIGNED = "POST /v1/artifacts/{id}/url makes a URL that carries it: good without a key, for one file and a time."
_JSON = "application/json"


def document(routes: Iterable[Route], tasks: Tasks) -> dict[str, Any]:
    """Plain JSON. A task whose model has no JSON Schema takes any params here, and is refused where they do not fit."""
    listed = list({(each.method, each.path): each for each in routes}.values())
    ours, named = schemas_of(_models(listed))
    queries = {each.query: named.pop(name_in(ours[each.query, "validation"])) for each in listed if each.query}
    named.update(_submissions(named, tasks))
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        parameters = _parameters(route, queries[route.query] if route.query else {})
        operation = _operation(route, parameters, ours)
        _illustrate(operation, route, _examples(route, tasks))
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "jobrunner", "version": version("jobrunner"), "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(named.items())),
            "parameters": {each.name: _sent(each) for each in headers.SENT},
            "headers": {each.name: _described(each) for each in headers.READ},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": _BEARER},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": _SESSION},
                "signature": {"type": "apiKey", "in": "query", "name": SIGNATURE, "description": _SIGNED},
            },
        },
        "x-problem-codes": [_plain(each) for each in codes.PROBLEMS],
        "x-job-codes": [_plain(each) for each in codes.OF_JOBS],
    }


def _plain(code: Code) -> dict[str, Any]:
    return {**asdict(code), "statuses": list(code.statuses)}


def _models(routes: Iterable[Route]) -> Iterable[Model]:
    yield Problem, "serialization"
    yield Submission, "validation"
    for route in routes:
        for model in (route.query, route.body):
            if isinstance(model, type):
                yield model, "validation"
        for answer in route.answers.values():
            if isinstance(answer, type):
                yield answer, "serialization"


# ---- submissions: one schema a task ------------------------------------------------------------


def _submissions(named: Mapping[str, Schema], tasks: Tasks) -> dict[str, Schema]:
    """`Submission` as one of all tasks', each with its own params."""
    if not tasks:
        return {}
    sound = {name: spec for name, spec in tasks.items() if schema_of(spec.params, "validation") is not None}
    references, schemas = schemas_of([(spec.params, "validation") for spec in sound.values()], prefix="params.")
    places: dict[str, str] = {}
    for number, (name, spec) in enumerate(sorted(tasks.items())):
        label = f"submit.{re.sub(r'[^A-Za-z0-9_-]', '_', name)}"
        label = f"{label}.{number}" if label in schemas else label
        params = references[spec.params, "validation"] if name in sound else {"type": "object"}
        schemas[label] = _submission(named[Submission.__name__], spec, params)
        places[name] = PLACE + label
    schemas[Submission.__name__] = {
        "oneOf": [{"$ref": place} for place in places.values()],
        "discriminator": {"propertyName": "task", "mapping": places},
    }
    return schemas


def _submission(base: Schema, spec: TaskSpec[Any, Any], params: Schema) -> Schema:
    own = {"task": {"type": "string", "const": spec.name}, "params": params}
    return {**base, "title": spec.name, "description": spec.summary, "properties": {**base["properties"], **own}}


# ---- examples ----------------------------------------------------------------------------------


def _examples(route: Route, tasks: Tasks) -> dict[str, Any]:
    """Bodies by a name for each: of a submission one a task."""
    if route.body is Submission:
        ordered = sorted(tasks, key=[*PARAMS, *tasks].index)
        found = {name: _example(tasks[name]) for name in ordered}
        return {name: {"task": name, "params": params} for name, params in found.items() if params is not None}
    if isinstance(route.body, type):
        return {"body": BODIES[route.body]} if route.body in BODIES else {}
    return {}


def _example(spec: TaskSpec[Any, Any]) -> Any:
    """The first example that the params' model brings with it, or ours."""
    found = (schema_of(spec.params, "validation") or {}).get("examples")
    return found[0] if isinstance(found, list) and found else PARAMS.get(spec.name)


def _illustrate(operation: dict[str, Any], route: Route, examples: Mapping[str, Any]) -> None:
    """Providers alone send what is open to everyone: nobody types that."""
    if examples:
        operation["requestBody"]["content"][_JSON]["examples"] = {
            name: {"value": value} for name, value in examples.items()
        }
    if route.scope is None and route.method != "GET":
        return
    line = curl(
        route.method,
        route.path,
        keyed=route.scope is not None,
        query={each["name"]: each["schema"]["examples"][0] for each in operation["parameters"] if _shown(each)},
        body=next(iter(examples.values()), None),
        sends=route.body if isinstance(route.body, str) else None,
        answers=next((each for each in route.answers.values() if isinstance(each, str)), None),
    )
    operation["x-codeSamples"] = [{"lang": "Shell", "source": line}]


def _shown(parameter: Schema) -> bool:
    return parameter.get("in") == "query" and bool(parameter.get("schema", {}).get("examples"))


# ---- operations --------------------------------------------------------------------------------


def _operation(route: Route, parameters: list[Schema], ours: Mapping[Model, Schema]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": "_".join([route.method.lower(), *re.findall(r"\w+", route.path)]),
        "tags": [area_of(route.path)],
        "summary": route.summary,
        "security": list(_ways_in(route)),
        "parameters": parameters,
        "responses": _responses(route, ours),
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(route.body, "validation", ours)}
    return operation


def _ways_in(route: Route) -> Iterable[dict[str, list[str]]]:
    if route.scope is not None:
        yield {"bearer": [route.scope]}
        yield {"session": [route.scope]}
    if SignatureInvalid.code in route.problems:
        yield {"signature": []}


def area_of(path: str) -> str:
    """What the docs group routes by: `jobs` for /v1/jobs, /v1/jobs/{id} and /v1/jobs:batch."""
    return re.split(r"[/:]", path.removeprefix("/v1/"))[0] if path.startswith("/v1/") else "server"


def _parameters(route: Route, query: Schema) -> list[Schema]:
    required = query.get("required", ())
    sent = [each for each in headers.SENT if each.everywhere or each.name in route.headers]
    return [
        *(_in_path(name) for name in re.findall(r"\{(\w+)\}", route.path)),
        *(_in_query(name, each, required=name in required) for name, each in query.get("properties", {}).items()),
        *({"$ref": f"#/components/parameters/{each.name}"} for each in sent),
    ]


def _in_path(name: str) -> Schema:
    schema = {"type": "string", "format": "uuid"} if name == "id" else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(name: str, schema: Schema, *, required: bool) -> Schema:
    plain = without_null(schema)
    said = {"name": name, "in": "query", "required": required, "description": plain.pop("description", "")}
    match plain.get("type"):
        case "array":
            return {**said, "style": "form", "explode": False, "schema": plain}
        case "object":
            return {**said, "content": {_JSON: {"schema": plain}}}
        case _:
            return {**said, "schema": plain}


def _sent(header: Header) -> Schema:
    shown = {} if header.example is None else {"example": header.example}
    return {"name": header.name, "in": "header", "description": header.meaning, "schema": header.schema, **shown}


def _described(header: Header) -> Schema:
    return {"description": header.meaning, "schema": header.schema}


def _content(kind: type[BaseModel] | str, mode: Mode, ours: Mapping[Model, Schema]) -> dict[str, Any]:
    if isinstance(kind, str):
        return {kind: {}}
    return {_JSON: {"schema": ours[kind, mode]}}


# ---- responses ---------------------------------------------------------------------------------


def _responses(route: Route, ours: Mapping[Model, Schema]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, kind in route.answers.items():
        content = {} if kind is None else {"content": _content(kind, "serialization", ours)}
        responses[str(status)] = {"description": HTTPStatus(status).phrase, **content}
    problem = ours[Problem, "serialization"]
    for status, words in _problems(route).items():
        if str(status) not in responses:
            content = {CONTENT_TYPE: {"schema": _narrowed(problem, words)}}
            responses[str(status)] = {"description": ", ".join(f"`{word}`" for word in words), "content": content}
    for status_, response in responses.items():
        carried = {each.name: {"$ref": f"#/components/headers/{each.name}"} for each in _read(route, int(status_))}
        response["headers"] = carried
    return dict(sorted(responses.items()))


def _narrowed(problem: Schema, words: list[str]) -> Schema:
    return {"allOf": [problem, {"type": "object", "properties": {"code": {"enum": words}}}]}


def _read(route: Route, status: int) -> Iterable[Header]:
    return (each for each in headers.READ if status in each.answers and (each.everywhere or each.name in route.headers))


def _problems(route: Route) -> dict[int, list[str]]:
    """The words that `route` can answer, by status."""
    words = {*_usual(route), *route.problems}
    found: dict[int, list[str]] = {}
    for code in codes.PROBLEMS:
        if code.word in words:
            for status in code.statuses:
                found.setdefault(status, []).append(code.word)
    return dict(sorted(found.items()))


def _usual(route: Route) -> Iterable[str]:
    """What every route of its kind can answer."""
    yield from ("forbidden", "internal_error")
    if route.scope is not None:
        yield from ("unauthorized", "scope_missing", "too_many_requests", "unavailable")
        if route.method != "GET":
            yield "token_missing"
    if "{" in route.path:
        yield "not_found"
    if route.query is not None:
        yield "invalid_request"
    if route.body is not None:
        yield from ("request_invalid", "request_timeout", "body_too_large", "unsupported_media_type", "invalid_request")
