"""Sound from words: speech, music and sound effects."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from jobrunner.declare import TaskContext, task
from jobrunner.job import Backoff
from jobrunner.request import NARRATOR, MusicRequest, SoundRequest, SpeechRequest
from jobrunner.tasks.params import Name, Params, Text
from jobrunner.tasks.results import result_of

Script = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40_000)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
"""ISO 639-1, e.g. en."""


class Speech(Params):
    """`voice` is the provider's name or id of one; "narrator" is the default voice, whoever the provider is.

    `speed` 1.0 is normal. How much text, and which speeds, a model takes is the provider's to say.
    """

    text: Script
    voice: Name = NARRATOR
    language: Language | None = None
    speed: Annotated[float, Field(ge=0.25, le=4)] = 1.0


class Music(Params):
    """`length_s` in seconds; without `instrumental` the model may sing."""

    prompt: Text
    length_s: Annotated[float, Field(ge=3, le=600)]
    instrumental: bool = True


class SoundEffect(Params):
    prompt: Text
    length_s: Annotated[float, Field(ge=0.5, le=30)]


class AudioResult(BaseModel):
    """`url` is where the API serves the sound, and what the row shows as `audio_url`."""

    url: str
    artifact_id: str
    mime: Literal["audio/mpeg", "audio/wav", "audio/ogg", "audio/flac", "audio/aac", "audio/mp4"]
    duration_s: float


@task(module="audio", timeout=timedelta(minutes=30), soft_timeout=timedelta(minutes=25), retries=3, backoff=Backoff())
async def generate_speech(ctx: TaskContext, params: Speech) -> AudioResult:
    """A text, spoken."""
    request = SpeechRequest(params.text, params.voice, params.language, params.speed)
    made = await ctx.generate(request)
    return result_of(made.artifacts[0], AudioResult)


@task(module="audio", timeout=timedelta(minutes=30), soft_timeout=timedelta(minutes=25), retries=3, backoff=Backoff())
async def generate_music(ctx: TaskContext, params: Music) -> AudioResult:
    """A piece of music."""
    made = await ctx.generate(MusicRequest(params.prompt, params.length_s, params.instrumental))
    return result_of(made.artifacts[0], AudioResult)


@task(module="audio", timeout=timedelta(minutes=30), soft_timeout=timedelta(minutes=25), retries=3, backoff=Backoff())
async def generate_sound_effect(ctx: TaskContext, params: SoundEffect) -> AudioResult:
    """A sound effect."""
    made = await ctx.generate(SoundRequest(params.prompt, params.length_s))
    return result_of(made.artifacts[0], AudioResult)
