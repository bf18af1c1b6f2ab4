"""Declaring a task, calling it, and asking for it: what a task's author is told, and when."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import pytest
from pydantic import BaseModel

from jobrunner import declare
from jobrunner.declare import (
    SubmitOptions,
    TaskContext,
    TaskSpec,
    current_runner,
    declared,
    pop_runner,
    push_runner,
    task,
)
from jobrunner.errors import DeclarationError, InvalidParams, NoRunner
from jobrunner.request import ImageRequest, Request
from jobrunner.submitted import SubmittedJob
from jobrunner.tasks.image import ImageResult, SceneImage, generate_scene_image
from jobrunner.work import Artifact, Generated
from tests.context import NoContext

T = TypeVar("T")


class Order(BaseModel):
    prompt: str
    n: int = 1


class Picture(BaseModel):
    url: str


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test declares or opens is gone after it."""
    monkeypatch.setattr(declare, "_registry", dict(declare._registry))
    monkeypatch.setattr(declare, "_runners", [])


async def draw(ctx: TaskContext, params: Order) -> Picture:
    """Draw what was ordered.

    And more.
    """
    return Picture(url=params.prompt)


def a_sync_function(ctx: TaskContext, params: Order) -> Picture:
    return Picture(url="")


async def without_context(params: Order) -> Picture:
    return Picture(url="")


async def with_one_too_many(ctx: TaskContext, params: Order, n: int) -> Picture:
    return Picture(url="")


async def of_a_dict(ctx: TaskContext, params: dict[str, str]) -> Picture:
    return Picture(url="")


async def to_none(ctx: TaskContext, params: Order) -> None: ...


async def unannotated(ctx, params):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    return Picture(url="")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def test_a_task_knows_its_name_its_models_and_its_summary() -> None:
    spec = task(module="image")(draw)
    assert (spec.name, spec.module, spec.params, spec.result) == ("draw", "image", Order, Picture)
    assert spec.summary == "Draw what was ordered."
    assert declared()["draw"] is spec
    assert declared([__name__]) == {"draw": spec}


@pytest.mark.parametrize(
    ("said", "timeout", "soft_timeout"),
    [
        ({}, minutes(30), minutes(25)),
        ({"timeout": minutes(60)}, minutes(60), minutes(25)),
        ({"timeout": minutes(6)}, minutes(6), minutes(5)),
        ({"timeout": minutes(6), "soft_timeout": minutes(6)}, minutes(6), minutes(6)),
    ],
)
def test_timeouts_default_to_thirty_and_twenty_five_minutes(
    said: dict[str, Any], timeout: timedelta, soft_timeout: timedelta
) -> None:
    spec = task(module="image", **said)(draw)
    assert (spec.timeout, spec.soft_timeout) == (timeout, soft_timeout)


@pytest.mark.parametrize(
    ("function", "options", "says"),
    [
        (a_sync_function, {}, "a_sync_function is not an async function; declare it with `async def`"),
        (draw, {"timeout": minutes(1), "soft_timeout": minutes(2)}, r"soft_timeout \(0:02:00\) lies past timeout"),
        (draw, {"timeout": minutes(0)}, "timeouts must be longer than zero"),
        (draw, {"soft_timeout": minutes(-1)}, "timeouts must be longer than zero"),
        (draw, {"retries": -1}, "retries is -1; 0 means one attempt"),
        (without_context, {}, r"must take exactly \(ctx, params\): `async def without_context\("),
        (with_one_too_many, {}, r"must take exactly \(ctx, params\)"),
        (of_a_dict, {}, r"type of its params must be a pydantic model, not dict\[str, str\]"),
        (to_none, {}, "type of its result must be a pydantic model"),
        (unannotated, {}, "type of its params must be a pydantic model, not None"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_declared(function: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        task(module="image", **options)(function)
    assert function.__name__ not in declared()


def test_a_name_is_declared_once_though_its_module_may_be_loaded_again() -> None:
    task(module="image")(draw)
    task(module="image")(draw)
    with pytest.raises(DeclarationError, match=r"declared twice: in .*\.draw and in .*\.with_one_too_many.*name="):
        task(module="image", name="draw")(cast("Any", with_one_too_many))


class Recorder:
    """A runner that notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, BaseModel, SubmitOptions]] = []

    async def submit(self, task: TaskSpec[Any, Any], params: BaseModel, options: SubmitOptions) -> SubmittedJob[Any]:
        self.asked.append((task.name, params, options))
        return cast("SubmittedJob[Any]", self)


@pytest.fixture
def runner() -> Iterator[Recorder]:
    opened = Recorder()
    push_runner(opened)
    yield opened
    pop_runner(opened)


async def test_without_a_runner_delay_says_how_to_open_one() -> None:
    with pytest.raises(NoRunner, match="async with JobRunner"):
        await task(module="image")(draw).delay(prompt="a lighthouse")


async def test_the_runner_opened_last_is_asked_and_closing_it_brings_back_the_one_before(runner: Recorder) -> None:
    spec, inner = task(module="image")(draw), Recorder()
    push_runner(inner)
    assert await spec.delay(prompt="in") is cast("SubmittedJob[Any]", inner)
    pop_runner(inner)
    assert current_runner() is runner
    await spec.delay(prompt="out", n=2)
    assert inner.asked == [("draw", Order(prompt="in"), SubmitOptions())]
    assert runner.asked == [("draw", Order(prompt="out", n=2), SubmitOptions())]


async def test_options_travel_with_the_params(runner: Recorder) -> None:
    spec = task(module="image")(draw)
    await spec.options(delay=minutes(1), idempotency_key="k", retries=0).delay(prompt="a")
    assert runner.asked[0][2] == SubmitOptions(delay=minutes(1), idempotency_key="k", retries=0)


async def test_wrong_params_are_told_by_path_and_never_submitted(runner: Recorder) -> None:
    with pytest.raises(InvalidParams, match=r"draw: params\.prompt: .*\(and 1 more\)") as refused:
        await task(module="image")(draw).delay(n="many")
    assert [each["path"] for each in refused.value.errors] == ["params.prompt", "params.n"]
    assert runner.asked == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"delay": minutes(1), "run_at": datetime(2026, 1, 1, tzinfo=UTC)}, "not both"),
        ({"run_at": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001  # what is refused
        ({"delay": minutes(-1)}, "`delay` is negative"),
        ({"retries": -1}, "`retries` is negative"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidParams, match=says):
        task(module="image")(draw).options(**options)


class FakeContext(NoContext):
    """All that a task's unit test needs: no server, no provider."""

    def __init__(self) -> None:
        self.ordered: list[Request] = []

    async def generate(self, request: Request, *, step: str = "generate") -> Generated:
        self.ordered.append(request)
        one = UUID(int=1)
        return Generated((Artifact(one, one, "image", "image/png", 9, "00", "01/a.png", 640, 360),), None, {}, None)


async def test_a_task_is_tested_by_calling_it_with_a_context_of_ones_own() -> None:
    context = FakeContext()
    params = SceneImage(
        user_id="u1", scene_description="A lighthouse.", scene_number=1, style="ink", size="640x360", seed=7
    )
    result = await generate_scene_image(context, params)
    assert context.ordered == [ImageRequest("A lighthouse. Style: ink.", size=(640, 360), seed=7)]
    picture = {
        "url": f"/v1/artifacts/{UUID(int=1)}",
        "artifact_id": str(UUID(int=1)),
        "mime": "image/png",
        "width": 640,
        "height": 360,
    }
    assert result == ImageResult.model_validate({**picture, "images": [picture]})
