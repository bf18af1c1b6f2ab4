"""Pictures from words: characters and scenes."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from jobrunner.declare import TaskContext, task
from jobrunner.job import Backoff
from jobrunner.work import Artifact, ImageRequest

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Size = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$")]
Style = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]


class _Picture(BaseModel):
    """What every picture may be asked for. `size` is WIDTHxHEIGHT in pixels, e.g. 1536x1024."""

    model_config = ConfigDict(extra="forbid")

    user_id: Name
    record_id: Name | None = None
    style: Style = ""
    size: Size = "1024x1024"
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None

    @field_validator("*", mode="after")
    @classmethod
    def _storable(cls, value: object) -> object:
        if isinstance(value, str):
            _check_text(value)
        return value

    def request(self, prompt: str, references: tuple[str, ...] = ()) -> ImageRequest:
        width, _, height = self.size.partition("x")
        styled = f"{prompt} Style: {self.style}." if self.style else prompt
        return ImageRequest(prompt=styled, size=(int(width), int(height)), seed=self.seed, references=references)


class CharacterImage(_Picture):
    character_name: Name
    character_description: Text


class SceneImage(_Picture):
    """`references` are https or data: URLs of pictures whose characters the scene shows, where the model takes them."""

    scene_description: Text
    scene_number: Annotated[int, Field(ge=0, le=1_000_000)]
    references: Annotated[tuple[Annotated[str, Field(max_length=300_000)], ...], Field(max_length=8)] = ()


class ImageResult(BaseModel):
    """`url` is where the API serves the picture, and what the row shows as `image_url`."""

    url: str
    artifact_id: str
    mime: Literal["image/png", "image/jpeg", "image/webp", "image/gif"]
    width: int
    height: int


def _check_text(value: str) -> None:
    """Postgres keeps neither NUL nor lone surrogates."""
    if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("holds a NUL or a lone surrogate; send plain Unicode text")


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
    artifacts = await ctx.generate(params.request(prompt))
    return _result(artifacts[0])


@task(module="image", timeout=timedelta(minutes=30), soft_timeout=timedelta(minutes=25), retries=3, backoff=Backoff())
async def generate_scene_image(ctx: TaskContext, params: SceneImage) -> ImageResult:
    """One scene of a story."""
    artifacts = await ctx.generate(params.request(params.scene_description, params.references))
    return _result(artifacts[0])
