"""The OpenAPI document of tasks and routes as odd as users may declare them, and the page made of it."""

from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from typing import Annotated, Any

import orjson
import pytest
from aiohttp import web
from openapi_spec_validator import validate
from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model

from jobrunner.api.openapi import document
from jobrunner.api.reference.page import page
from jobrunner.api.routes import Route
from jobrunner.api.shapes import Submission
from jobrunner.declare import TaskContext, TaskSpec
from jobrunner.job import Backoff

EVIL = "<script>alert(1)</script> `<img src=x onerror=alert(2)>` \"'><a href=javascript:alert(3)>x</a>"


class Nothing(BaseModel): ...


async def _run(_ctx: TaskContext, _params: Any) -> Nothing:
    return Nothing()


def task(name: str, params: type[BaseModel], summary: str = "") -> TaskSpec[Any, Any]:
    """Not declared: other tests' servers would offer it."""
    again = {"retries": 3, "backoff": Backoff(), "resubmit": False}
    times = {"timeout": timedelta(minutes=2), "soft_timeout": timedelta(minutes=1)}
    return TaskSpec(name, "image", _run, params, Nothing, summary=summary, **times, **again)  # type: ignore[arg-type]


async def _handler(_request: web.Request) -> web.Response:
    return web.Response()


SUBMIT = Route("POST", "/v1/jobs", _handler, "submit", "Submit", body=Submission, answers={202: Nothing})


def described(*tasks: TaskSpec[Any, Any]) -> dict[str, Any]:
    made = document([SUBMIT], {each.name: each for each in tasks})
    validate(made)
    assert orjson.loads(orjson.dumps(made)) == made
    return made


def submissions(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The schema of a submission, by task, as a client finds it."""
    schemas = made["components"]["schemas"]
    mapping = schemas["Submission"]["discriminator"]["mapping"]
    assert [{"$ref": place} for place in mapping.values()] == schemas["Submission"]["oneOf"]
    return {name: schemas[place.rpartition("/")[2]] for name, place in mapping.items()}


def params_of(made: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = submissions(made)[name]["properties"]["params"]
    schemas: dict[str, Any] = made["components"]["schemas"]
    return schemas[found["$ref"].rpartition("/")[2]] if "$ref" in found else found


def test_every_task_has_its_own_typed_params() -> None:
    width = create_model("Width", width=(int, Field(ge=1)))
    made = described(task("doc_draw", width, "Draw."), task("doc_paint", create_model("Colour", colour=(str, ...))))
    submission = submissions(made)["doc_draw"]
    assert submission["description"] == "Draw."
    assert submission["properties"]["task"] == {"type": "string", "const": "doc_draw"}
    assert {"delay_s", "run_at", "metadata", "webhook"} < submission["properties"].keys()
    assert params_of(made, "doc_draw")["properties"]["width"]["minimum"] == 1
    assert params_of(made, "doc_paint")["required"] == ["colour"]


def test_models_of_one_name_stay_apart() -> None:
    made = described(
        task("doc_one", create_model("Problem", one=(int, ...), __module__="one")),
        task("doc_two", create_model("Problem", two=(int, ...), __module__="two")),
    )
    assert params_of(made, "doc_one")["required"] == ["one"]
    assert params_of(made, "doc_two")["required"] == ["two"]
    assert "detail" in made["components"]["schemas"]["Problem"]["properties"]


def _raise(_schema: JsonValue) -> None:
    raise RuntimeError("broken on purpose")


@pytest.mark.parametrize(
    "params",
    [
        create_model("Called", hook=(Callable[[], None], ...)),
        create_model("Broken", __config__=ConfigDict(json_schema_extra=_raise)),
        create_model("NoJson", __config__=ConfigDict(json_schema_extra={"x-of": object})),  # type: ignore[dict-item]
        create_model("Huge", number=(int, Field(lt=2**70))),
        create_model("Surrogate", word=(str, Field(description="\ud800"))),
    ],
    ids=lambda model: model.__name__,
)
def test_a_model_without_a_schema_hides_no_other(params: type[BaseModel]) -> None:
    sound = task("doc_sound", create_model("Sound", colour=(str, ...)))
    made = described(task("doc_odd", params), sound)
    assert params_of(made, "doc_odd") == {"type": "object"}
    assert params_of(made, "doc_sound")["required"] == ["colour"]


def test_names_that_are_no_names_of_schemas() -> None:
    tasks = [task(name, Nothing, name) for name in ("doc a/b", "doc a b", "doc_ä", "doc_")]
    assert len({schema["description"] for schema in submissions(described(*tasks)).values()}) == len(tasks)


def test_an_example_of_the_model_is_the_tasks_example() -> None:
    shown = create_model("Shown", __config__=ConfigDict(json_schema_extra={"examples": [{"n": 3}]}), n=(int, ...))
    content = described(task("doc_shown", shown))["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    example = {"task": "doc_shown", "params": {"n": 3}}
    assert content["application/json"]["examples"] == {"doc_shown": {"value": example}}


def test_without_tasks_the_document_is_still_one() -> None:
    assert described()["components"]["schemas"]["Submission"]["properties"]["task"]["type"] == "string"


class Seen(HTMLParser):
    """Which elements, and which attributes, a page has."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.targets: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.targets |= {value or "" for name, value in attrs if name in {"href", "src"}}


def test_whatever_a_task_says_is_text() -> None:
    evil = create_model(
        "Evil",
        __config__=ConfigDict(title=EVIL, json_schema_extra={"examples": [{EVIL: EVIL}]}),
        __doc__=EVIL,
        word=(Annotated[str, Field(title=EVIL, examples=[EVIL])], Field(default=EVIL, description=EVIL)),
    )
    shown = page(described(task(f"doc {EVIL}", evil, EVIL)))
    seen = Seen()
    seen.feed(shown)
    assert "alert(1)" in shown
    assert not seen.tags & {"script", "img", "iframe", "svg", "style"}
    assert {name for name in seen.attributes if name.startswith("on")} == set()
    assert all(target.startswith(("#", "/docs/")) for target in seen.targets), seen.targets


def test_the_page_knows_all_that_a_schema_can_be() -> None:
    odd: Any = {
        "type": ["string", "null"],
        "enum": None,
        "items": False,
        "oneOf": True,
        "default": {"a": [1]},
        "minimum": 0,
    }
    params = create_model(
        "Odd", __config__=ConfigDict(json_schema_extra={"properties": {"a": odd, "b": True, "c": []}})
    )
    assert "Fields of params.Odd" in page(document([SUBMIT], {"doc_odd_one": task("doc_odd_one", params)}))
