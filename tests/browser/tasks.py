"""What the browser tests submit: a form's every control, and a job that moves on when a test says so."""

import asyncio
import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, Field

from jobrunner.declare import TaskContext, task
from jobrunner.errors import PermanentError
from jobrunner.tasks.params import Source

_LOOK_S = 0.02
_STROKES = 4


class Light(BaseModel):
    """Where it comes from."""

    angle: float = 45
    colour: Literal["white", "amber"] = "white"


class Dot(BaseModel):
    shape: Literal["dot"] = "dot"
    radius: int


class Line(BaseModel):
    shape: Literal["line"] = "line"
    length: int


class Still(BaseModel):
    """One field for every control. `prompt` is what to paint."""

    model_config = ConfigDict(extra="forbid")

    prompt: str
    size: Annotated[str, Field(pattern=r"^\d+x\d+$")] = "64x64"
    count: Annotated[int, Field(ge=1, le=4)] = 1
    strength: float | None = None
    style: Literal["ink", "oil"] = "ink"
    signed: bool = False
    due: datetime | None = None
    day: date | None = None
    light: Light
    shade: Light | None = None
    words: list[str] = []
    marks: list[Annotated[Dot | Line, Field(discriminator="shape")]] = []
    seed: int | str | None = None
    extra: dict[str, int] = {}
    picture: Source | None = None
    references: Annotated[tuple[Source, ...], Field(max_length=3)] = ()


class Seen(BaseModel):
    kinds: list[str]


@task(module="image", retries=0)
async def still_life(ctx: TaskContext, params: Still) -> Seen:
    """Look at the files that came with it."""
    files = [*([params.picture] if params.picture else []), *params.references]
    return Seen(kinds=[(await ctx.input(each, kind=None)).mime for each in files])


class Canvas(BaseModel):
    """`gate` is a directory: before its nth stroke the painter waits there for a file called n."""

    model_config = ConfigDict(extra="forbid")

    prompt: str
    user_id: str = "painter"
    gate: Path | None = None
    fails: bool = False


class Painting(BaseModel):
    url: str
    artifact_id: str


@task(module="image", retries=0)
async def paint(ctx: TaskContext, params: Canvas) -> Painting:
    """A picture, stroke by stroke."""
    picture = Image.new("RGB", (320, 200), "#20304c")
    with tempfile.TemporaryDirectory() as directory:
        spooled = Path(directory) / "painting.png"
        for stroke in range(_STROKES):
            if params.gate is not None:
                await _opened(params.gate / str(stroke))
            ImageDraw.Draw(picture).ellipse([80 * stroke, 40, 80 * stroke + 70, 110], fill="#f0b35a")
            picture.save(spooled)
            ctx.log("A stroke is done.", stroke=stroke)
            ctx.preview(spooled.read_bytes())
            ctx.progress((stroke + 1) / (_STROKES + 1), f"stroke {stroke + 1} of {_STROKES}")
        if params.fails:
            raise PermanentError("The brush broke.", code="brush_broken")
        artifact = await ctx.save(spooled, kind="image")
    return Painting(url=artifact.url, artifact_id=str(artifact.id))


async def _opened(gate: Path) -> None:
    while not await asyncio.to_thread(gate.exists):  # noqa: ASYNC110  # another process makes it
        await asyncio.sleep(_LOOK_S)
