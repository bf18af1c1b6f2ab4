"""A task that buys one picture and, where that fails, does not wait long before it tries again."""

from pydantic import BaseModel

from jobrunner.declare import TaskContext, task
from jobrunner.job import Backoff
from jobrunner.request import ImageRequest


class Drawing(BaseModel):
    prompt: str


class Drawn(BaseModel):
    url: str


@task(module="image", retries=2, backoff=Backoff(first_s=0.05, cap_s=0.1))
async def draw_soon(ctx: TaskContext, params: Drawing) -> Drawn:
    made = await ctx.generate(ImageRequest(params.prompt, size=(64, 64)))
    return Drawn(url=made.artifacts[0].url)
