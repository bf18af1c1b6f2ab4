"""Clips from words, from a picture, or from both."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from jobrunner.declare import TaskContext, task
from jobrunner.job import Backoff
from jobrunner.request import VideoRequest
from jobrunner.tasks.params import Params, Seed, Size, Source, Style, Text, pixels
from jobrunner.tasks.results import result_of
from jobrunner.work import Artifact

QUIET_MOTION = "The picture comes gently to life; the camera moves slowly."
"""What is asked for where only a picture is given: models want words."""


class SceneVideo(Params):
    """`image` is the first frame. `size` is WIDTHxHEIGHT in pixels; the provider makes its nearest size and length."""

    scene_description: Text | None = None
    image: Source | None = None
    duration_s: Annotated[float, Field(ge=1, le=30)] = 5.0
    size: Size = "1280x720"
    style: Style = ""
    seed: Seed | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.scene_description is None and self.image is None:
            raise ValueError("give scene_description, image or both")
        return self

    def request(self, image: Artifact | None) -> VideoRequest:
        words = self.scene_description or QUIET_MOTION
        prompt = f"{words} Style: {self.style}." if self.style else words
        return VideoRequest(prompt, self.duration_s, pixels(self.size), image=image, seed=self.seed)


class VideoResult(BaseModel):
    """What was made. `url` is where the API serves the clip, and what the row shows as `video_url`."""

    url: str
    artifact_id: str
    mime: Literal["video/mp4", "video/webm", "video/quicktime"]
    width: int
    height: int
    duration_s: float


@task(module="video", timeout=timedelta(minutes=30), soft_timeout=timedelta(minutes=25), retries=3, backoff=Backoff())
async def generate_scene_video(ctx: TaskContext, params: SceneVideo) -> VideoResult:
    """A clip of one scene, from words, a first frame or both."""
    image = None if params.image is None else await ctx.input(params.image, kind="image")
    made = await ctx.generate(params.request(image))
    return result_of(made.artifacts[0], VideoResult)
