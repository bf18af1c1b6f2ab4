"""Pictures from words: characters and scenes."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from jobrunner.declare import TaskContext, task
from jobrunner.job import Backoff
from jobrunner.tasks.params import Name, Params, Seed, Size, Source, Style, Text, pixels
from jobrunner.work import Artifact, ImageRequest


class _Picture(Params):
    """What every picture may be asked for. `size` is WIDTHxHEIGHT in pixels, e.g. 1536x1024."""

    style: Style = ""
    size: Size = "1024x1024"
    seed: Seed | None = None

    def request(self, prompt: str, references: tuple[Artifact, ...] = ()) -> ImageRequest:
        styled = f"{prompt} Style: {self.style}." if self.style else prompt
        return ImageRequest(prompt=styled, size=pixels(self.size), seed=self.seed, references=references)


class CharacterImage(_Picture):
    character_name: Name
    character_description: Text


class SceneImage(_Picture):
    """`references` are pictures of what the scene shows, where the model takes them."""

    scene_description: Text
    scene_number: Annotated[int, Field(ge=0, le=1_000_000)]
    references: Annotated[tuple[Source, ...], Field(max_length=8)] = ()


class ImageResult(BaseModel):
    """`url` is where the API serves the picture, and what the row shows as `image_url`."""

    url: str
    artifact_id: str
    mime: Literal["image/png", "image/jpeg", "image/webp", "image/gif"]
    width: int
    height: int


def _result(artifact: Artifact) -> ImageResult:
    return ImageResult.model_validate(
        {
            "url": artifact.url,
            "artifact_id": str(artifact.id),
            "mime": artifact.mime,
            "width": artifact.width,
            "height": artifact.height,
        }
    )


@task(module="image", timeout=timedelta(minutes=30), soft_timeout=timedelta(minutes=25), retries=3, backoff=Backoff())
async def generate_character_image(ctx: TaskContext, params: CharacterImage) -> ImageResult:
    """A portrait of one character."""
    prompt = f"Portrait of {params.character_name}: {params.character_description}"
    made = await ctx.generate(params.request(prompt))
    return _result(made.artifacts[0])


@task(module="image", timeout=timedelta(minutes=30), soft_timeout=timedelta(minutes=25), retries=3, backoff=Backoff())
async def generate_scene_image(ctx: TaskContext, params: SceneImage) -> ImageResult:
    """One scene of a story."""
    references = [await ctx.input(source, kind="image") for source in params.references]
    made = await ctx.generate(params.request(params.scene_description, tuple(references)))
    return _result(made.artifacts[0])
