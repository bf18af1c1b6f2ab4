"""Pictures from words: characters and scenes; and pictures from pictures."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from jobrunner.declare import TaskContext, task
from jobrunner.job import Backoff
from jobrunner.request import ImageEdit, ImageRequest
from jobrunner.tasks.params import Name, Params, Seed, Size, Source, Style, Text, pixels
from jobrunner.tasks.results import result_of
from jobrunner.work import Artifact

Number = Annotated[int, Field(ge=1, le=4)]
"""How many pictures to make in one call."""


class _Drawing(Params):
    """What every drawing may be asked for. `size` is WIDTHxHEIGHT in pixels, e.g. 1536x1024."""

    style: Style = ""
    size: Size = "1024x1024"
    seed: Seed | None = None
    n: Number = 1

    def request(self, prompt: str, references: tuple[Artifact, ...] = ()) -> ImageRequest:
        styled = f"{prompt} Style: {self.style}." if self.style else prompt
        return ImageRequest(styled, n=self.n, size=pixels(self.size), seed=self.seed, references=references)


class CharacterImage(_Drawing):
    character_name: Name
    character_description: Text


class SceneImage(_Drawing):
    """`references` are pictures of what the scene shows, where the model takes them."""

    scene_description: Text
    scene_number: Annotated[int, Field(ge=0, le=1_000_000)]
    references: Annotated[tuple[Source, ...], Field(max_length=8)] = ()


class EditImage(Params):
    """Where `mask`, a PNG of the picture's size, is transparent, the picture may change. `size` unset: the model's."""

    image: Source
    instruction: Text
    mask: Source | None = None
    size: Size | None = None
    n: Number = 1


class Picture(BaseModel):
    """`url` is where the API serves it. Sizes in pixels."""

    url: str
    artifact_id: str
    mime: Literal["image/png", "image/jpeg", "image/webp", "image/gif"]
    width: int
    height: int


class ImageResult(Picture):
    """The first picture, whose `url` is what the row shows as `image_url`, and in `images` all of them."""

    images: list[Picture] = []


def _result(artifacts: Sequence[Artifact]) -> ImageResult:
    return result_of(artifacts[0], ImageResult, images=[result_of(each, Picture) for each in artifacts])


@task(module="image", timeout=timedelta(minutes=30), soft_timeout=timedelta(minutes=25), retries=3, backoff=Backoff())
async def generate_character_image(ctx: TaskContext, params: CharacterImage) -> ImageResult:
    """A portrait of one character."""
    prompt = f"Portrait of {params.character_name}: {params.character_description}"
    made = await ctx.generate(params.request(prompt))
    return _result(made.artifacts)


@task(module="image", timeout=timedelta(minutes=30), soft_timeout=timedelta(minutes=25), retries=3, backoff=Backoff())
async def generate_scene_image(ctx: TaskContext, params: SceneImage) -> ImageResult:
    """One scene of a story."""
    references = [await ctx.input(source, kind="image") for source in params.references]
    made = await ctx.generate(params.request(params.scene_description, tuple(references)))
    return _result(made.artifacts)


@task(module="image", timeout=timedelta(minutes=30), soft_timeout=timedelta(minutes=25), retries=3, backoff=Backoff())
async def edit_image(ctx: TaskContext, params: EditImage) -> ImageResult:
    """A picture changed as an instruction says."""
    image = await ctx.input(params.image, kind="image")
    mask = None if params.mask is None else await ctx.input(params.mask, kind="image")
    size = None if params.size is None else pixels(params.size)
    made = await ctx.generate(ImageEdit(image, params.instruction, mask=mask, n=params.n, size=size))
    return _result(made.artifacts)
