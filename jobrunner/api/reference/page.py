"""The reference page, rendered from the OpenAPI document alone. It has no script, and whatever a task says is text."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from jobrunner.api.problems import CONTENT_TYPE as PROBLEM
from jobrunner.api.reference.html import Html, code, joined, prose, table, tag
from jobrunner.api.schemas import name_in

STYLE: Final = "/docs/page.css"

_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
    "minLength": "characters: at least",
    "maxLength": "characters: at most",
    "minItems": "items: at least",
    "maxItems": "items: at most",
    "pattern": "like",
    "default": "otherwise",
}
_SETTING_UP = (
    "In the examples JOBRUNNER is the server's URL, KEY an API key (a server without keys needs none), JOB and "
    "ARTIFACT are ids, and FILE is a file of yours."
)

Operation = tuple[str, str, Mapping[str, Any]]
"""Method, path and what the document says of it."""


def page(document: Mapping[str, Any]) -> str:
    info, parts = document["info"], document["components"]
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    areas: dict[str, list[Operation]] = {}
    for each in operations:
        areas.setdefault(each[2]["tags"][0], []).append(each)
    main = tag(
        "main",
        tag("h1", f"{info['title']} {info['version']}"),
        tag("p", prose(info["description"])),
        _section("keys", "Keys", *(tag("p", prose(each["description"])) for each in parts["securitySchemes"].values())),
        tag("p", _SETTING_UP),
        *(_section(area, area.capitalize(), *(_operation(each, parts) for each in of)) for area, of in areas.items()),
        _section("headers", "Headers", *_headers(parts)),
        _section("problem-codes", "Codes of problems", _codes("Problem codes", document["x-problem-codes"])),
        _section("job-codes", "Codes of jobs", _codes("Codes in the error of a job", document["x-job-codes"])),
        _section("models", "Models", *(_model(name, schema) for name, schema in parts["schemas"].items())),
        id="main",
    )
    head = tag(
        "head",
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", f"{info['title']}: reference"),
        Html(f'<link rel="stylesheet" href="{STYLE}">'),
    )
    skip = tag("a", "Skip to the reference", href="#main", class_="skip")
    return f"<!doctype html>\n{tag('html', head, tag('body', skip, _contents(areas), main), lang='en')}\n"


def _section(id: str, title: str, *children: str) -> Html:
    return tag("section", tag("h2", title), *children, id=id)


def _contents(areas: Mapping[str, list[Operation]]) -> Html:
    links = [
        tag("li", tag("a", f"{method} {path}", href=f"#{operation['operationId']}"))
        for operations in areas.values()
        for method, path, operation in operations
    ]
    more = {"keys": "Keys", "headers": "Headers", "problem-codes": "Codes of problems"}
    more |= {"job-codes": "Codes of jobs", "models": "Models"}
    links += [tag("li", tag("a", title, href=f"#{id}")) for id, title in more.items()]
    return tag("nav", tag("ul", *links), aria_label="Contents")


# ---- a route -----------------------------------------------------------------------------------


def _operation(operation: Operation, parts: Mapping[str, Any]) -> Html:
    method, path, said = operation
    scopes = [scope for each in said["security"] for scope in each.get("bearer", ())]
    needs = joined("Needs the scope ", code(scopes[0]), ".") if scopes else joined("Open to everyone.")
    samples = [tag("pre", code(each["source"]), tabindex="0") for each in said.get("x-codeSamples", ())]
    return tag(
        "article",
        tag("h3", tag("span", method, class_="method"), " ", code(path)),
        tag("p", prose(said["summary"]), ". ", needs),
        *samples,
        _parameters(said["parameters"], parts["parameters"]),
        _body(said.get("requestBody")),
        table("Answers", ("Status", "What", "Headers"), [_answer(*each) for each in said["responses"].items()]),
        id=said["operationId"],
    )


def _parameters(parameters: Iterable[Mapping[str, Any]], known: Mapping[str, Any]) -> Html:
    whole = [known[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in parameters]
    rows = [
        (code(each["name"]), each["in"], _kind(_schema_in(each)), prose(each.get("description") or ""))
        for each in whole
    ]
    return table("Parameters", ("Name", "In", "Type", "What"), rows)


def _schema_in(parameter: Mapping[str, Any]) -> Any:
    """What travels as JSON in a query has its schema where bodies have theirs."""
    return parameter["schema"] if "schema" in parameter else parameter["content"]["application/json"]["schema"]


def _body(body: Mapping[str, Any] | None) -> Html:
    if body is None:
        return Html()
    kinds = [joined(_content(media, content)) for media, content in body["content"].items()]
    examples = [
        tag("details", tag("summary", "Example: ", code(name)), tag("pre", code(_pretty(each["value"])), tabindex="0"))
        for content in body["content"].values()
        for name, each in content.get("examples", {}).items()
    ]
    return joined(tag("p", "Body: ", *kinds), *examples)


def _answer(status: str, response: Mapping[str, Any]) -> tuple[str, ...]:
    said, contents = response["description"], response.get("content", {})
    if PROBLEM in contents:
        what = _links(said)
    else:
        what = joined(said, *(joined(": ", _content(*each)) for each in contents.items()))
    return status, what, ", ".join(response["headers"])


def _links(words: str) -> Html:
    """To the codes that `words` are, each in backticks."""
    each = [word.strip("`") for word in words.split(", ")]
    linked = [joined(", " if place else "", tag("a", code(word), href=f"#{word}")) for place, word in enumerate(each)]
    return joined(*linked)


def _content(media: str, content: Mapping[str, Any]) -> Html:
    schema = content.get("schema")
    if schema is None:
        return joined(code(media))
    return joined(_kind(schema), f" ({media})")


# ---- models ------------------------------------------------------------------------------------


def _model(name: str, schema: Mapping[str, Any]) -> Html:
    required = schema.get("required", ())
    rows = [
        (code(field), "yes" if field in required else "no", _kind(each), prose(str(each.get("description", ""))))
        for field, each in schema.get("properties", {}).items()
        if isinstance(each, Mapping)
    ]
    shown = table(f"Fields of {name}", ("Field", "Required", "Type", "What"), rows) if rows else tag("p", _kind(schema))
    said = tag("p", prose(str(schema["description"]))) if schema.get("description") else ""
    return tag("article", tag("h3", code(name)), said, shown, id=f"model-{name}")


def _kind(schema: Any) -> Html:
    """A schema in words. A user's own may be anything that JSON can say."""
    if not isinstance(schema, Mapping):
        return joined("anything" if schema else "nothing")
    if "$ref" in schema:
        name = name_in(schema)
        return tag("a", code(name), href=f"#model-{name}")
    for several in ("oneOf", "anyOf"):
        if isinstance(schema.get(several), list):
            kinds = [_kind(each) for each in schema[several]]
            return joined(*(joined(" or " if place else "", each) for place, each in enumerate(kinds)), _limits(schema))
    if "const" in schema or isinstance(schema.get("enum"), list):
        values = schema.get("enum", [schema.get("const")])
        return joined(*(joined(", " if place else "", code(_word(each))) for place, each in enumerate(values)))
    return joined(_type(schema), _limits(schema))


def _type(schema: Mapping[str, Any]) -> Html:
    match schema.get("type"):
        case "array":
            return joined("list of ", _kind(schema.get("items", True)))
        case "object" if schema.get("additionalProperties") not in (None, False, True):
            return joined("object of ", _kind(schema["additionalProperties"]))
        case None:
            return joined("anything")
        case named:
            return joined(str(schema.get("format") or named))


def _limits(schema: Mapping[str, Any]) -> Html:
    said = [joined(f"; {words} ", code(_word(schema[key]))) for key, words in _LIMITS.items() if key in schema]
    return joined(*said)


def _word(value: Any) -> str:
    return value if isinstance(value, str) and value else orjson.dumps(value).decode()


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


# ---- tables ------------------------------------------------------------------------------------


def _headers(parts: Mapping[str, Any]) -> Iterable[Html]:
    for title, known in (("Headers that you send", parts["parameters"]), ("Headers that you read", parts["headers"])):
        rows = [(code(name), _kind(each["schema"]), prose(each["description"])) for name, each in known.items()]
        yield table(title, ("Name", "Type", "What"), rows)


def _codes(caption: str, codes: Iterable[Mapping[str, Any]]) -> Html:
    rows = [
        (
            tag("span", code(each["word"]), id=each["word"] if each["statuses"] else None),
            ", ".join(map(str, each["statuses"])) or "-",
            prose(each["meaning"]),
            prose(each["remedy"]),
        )
        for each in codes
    ]
    return table(caption, ("Code", "Status", "Meaning", "Remedy"), rows)
