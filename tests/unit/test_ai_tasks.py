"""The ai tasks on answers as models give them: right, wrong, and wrong before they are right; and edits of pictures."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import pytest
from pydantic import ValidationError

from jobrunner.errors import TransientError
from jobrunner.job import Job, Status
from jobrunner.request import ImageEdit, Request, TextRequest
from jobrunner.tasks.ai import PromptIdea, Story, Suspect, enhance_prompt, moderate, write_screenplay
from jobrunner.tasks.image import EditImage, SceneImage, edit_image, generate_scene_image
from jobrunner.work import Artifact, Generated, Kind, Money
from tests.context import NoContext

T = TypeVar("T")
NOW = datetime(2026, 11, 23, tzinfo=UTC)
VERDICT = {"flagged": True, "categories": ["violence"]}


def picture(number: int) -> Artifact:
    return Artifact(UUID(int=number), UUID(int=7), "image", "image/png", 9, "00", f"{number}.png", 64, 32)


@dataclass
class Context(NoContext):
    """Answers each step once; an attempt that comes later gets what the earlier ones bought."""

    answers: list[Any] = field(default_factory=list)
    fence: int = 1
    cost: Money | None = field(default_factory=lambda: Money(Decimal(10), "tokens"))
    ordered: list[Request] = field(default_factory=list)
    bought: dict[str, Generated] = field(default_factory=dict)

    @property
    def job(self) -> Job:
        return Job(
            *(UUID(int=7), "t", "ai", Status.IN_PROGRESS, {}, "q", NOW, NOW, NOW),
            retries=3,
            fence=self.fence,
            failures=0,
            crashes=0,
        )

    async def generate(self, request: Request, *, step: str = "generate") -> Generated:
        if step not in self.bought:
            self.ordered.append(request)
            answer = self.answers.pop(0)
            words = answer if isinstance(answer, str) else json.dumps(answer)
            pictures = tuple(picture(10 + each) for each in range(getattr(request, "n", 0)))
            self.bought[step] = Generated(pictures, words, {}, self.cost)
        return self.bought[step]

    async def step(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        return await make()

    async def input(self, source: str, *, kind: Kind | None) -> Artifact:
        return picture(UUID(source).int)

    def progress(self, fraction: float, note: str = "") -> None: ...


def screenplay(*numbers: int) -> dict[str, Any]:
    scenes = [{"number": each, "title": "t", "description": "d", "narration": "n"} for each in numbers]
    return {"title": "T", "logline": "l", "characters": [], "scenes": scenes, "notes": ""}


async def test_a_screenplay_has_the_scenes_that_were_asked_for() -> None:
    context = Context([screenplay(1, 2)])
    made = await write_screenplay(context, Story(user_id="u", story="Once.", scenes=2))
    assert ([scene.number for scene in made.scenes], made.title, made.tokens) == ([1, 2], "T", 10)
    (request,) = context.ordered
    assert isinstance(request, TextRequest)
    assert (request.prompt, "exactly 2 scenes" in request.instructions) == ("Once.", True)
    assert request.schema is not None
    assert (request.schema["properties"]["scenes"]["minItems"], request.schema["type"]) == (2, "object")


@pytest.mark.parametrize(
    "wrong",
    [screenplay(1), screenplay(1, 2, 3), screenplay(1, 3), screenplay(2, 1), "not JSON", "", {"title": "T"}],
    ids=str,
)
async def test_a_wrong_answer_fails_for_now_and_says_what_is_wrong(wrong: Any) -> None:
    with pytest.raises(TransientError, match=r"not what was asked for: .+") as error:
        await write_screenplay(Context([wrong]), Story(user_id="u", story="Once.", scenes=2))
    assert error.value.code == "answer_invalid"


async def test_only_a_wrong_answer_is_bought_again_and_every_answer_counts() -> None:
    context = Context(["wrong", "wrong", VERDICT])
    for fence in (1, 2):
        context.fence = fence
        with pytest.raises(TransientError):
            await moderate(context, Suspect(user_id="u", text="Bang."))
    for fence in (3, 4):  # the fourth is a hand-back after the answer: nothing is bought
        context.fence = fence
        verdict = await moderate(context, Suspect(user_id="u", text="Bang."))
        assert (verdict.flagged, verdict.categories, verdict.tokens) == (True, ["violence"], 30)
    assert len(context.ordered) == 3


@pytest.mark.parametrize("answer", [VERDICT | {"flagged": False}, VERDICT | {"categories": ["rude"]}])
async def test_a_verdict_that_contradicts_itself_or_invents_a_category_is_wrong(answer: Any) -> None:
    with pytest.raises(TransientError):
        await moderate(Context([answer]), Suspect(user_id="u", text="Bang."))


@pytest.mark.parametrize(("style", "asked"), [("", "a cat"), ("ink", "a cat\n\nStyle: ink")])
async def test_a_prompt_is_enhanced_in_its_style(style: str, asked: str) -> None:
    context = Context([{"prompt": "A cat at dusk."}], cost=None)
    made = await enhance_prompt(context, PromptIdea(user_id="u", prompt="a cat", style=style))
    assert (made.prompt, made.tokens) == ("A cat at dusk.", None)
    assert [request.prompt for request in context.ordered if isinstance(request, TextRequest)] == [asked]


async def test_an_edit_starts_from_the_picture_and_keeps_to_the_mask() -> None:
    context = Context([""])
    asked = EditImage(
        user_id="u", image=str(UUID(int=1)), instruction="at night", mask=str(UUID(int=2)), size="64x64", n=2
    )
    made = await edit_image(context, asked)
    assert context.ordered == [ImageEdit(picture(1), "at night", mask=picture(2), n=2, size=(64, 64))]
    assert [each.artifact_id for each in made.images] == [str(UUID(int=10)), str(UUID(int=11))]
    assert made.url == made.images[0].url


async def test_an_edit_leaves_the_size_to_the_model() -> None:
    context = Context([""])
    await edit_image(context, EditImage(user_id="u", image=str(UUID(int=1)), instruction="at night"))
    assert context.ordered == [ImageEdit(picture(1), "at night")]


async def test_a_scene_may_be_drawn_several_times_in_one_call() -> None:
    context = Context([""])
    made = await generate_scene_image(context, SceneImage(user_id="u", scene_description="x", scene_number=1, n=3))
    assert len(made.images) == 3
    with pytest.raises(ValidationError):
        SceneImage(user_id="u", scene_description="x", scene_number=1, n=5)
