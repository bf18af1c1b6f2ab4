"""Tasks that buy one picture and, where that fails, do not wait long before they try again."""

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


@task(module="image", retries=2, backoff=Backoff(first_s=0.05, cap_s=0.1), resubmit=True)
async def draw_at_any_price(ctx: TaskContext, params: Drawing) -> Drawn:
    """The same, but rather twice than not at all."""
    return await draw_soon(ctx, params)
