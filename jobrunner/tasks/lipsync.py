"""Clips whose mouths move with a sound."""

from datetime import timedelta

from jobrunner.declare import TaskContext, task
from jobrunner.job import Backoff
from jobrunner.request import LipsyncRequest, SyncMode
from jobrunner.tasks.params import Params, Source
from jobrunner.tasks.results import result_of
from jobrunner.tasks.video import VideoResult


class Lipsync(Params):
    """`sync_mode` says what happens where one of the two is longer.

    cut_off (the default): the longer one is cut. loop, bounce: the video is repeated, or played to and fro, until the
    audio ends. silence: the rest stays silent. remap: the video is slowed down or sped up to the audio's length.
    """

    video: Source
    audio: Source
    sync_mode: SyncMode = "cut_off"


@task(module="lipsync", timeout=timedelta(minutes=30), soft_timeout=timedelta(minutes=25), retries=3, backoff=Backoff())
async def lipsync_video(ctx: TaskContext, params: Lipsync) -> VideoResult:
    """A clip whose mouths move with a sound."""
    video = await ctx.input(params.video, kind="video")
    audio = await ctx.input(params.audio, kind="audio")
    made = await ctx.generate(LipsyncRequest(video, audio, params.sync_mode))
    return result_of(made.artifacts[0], VideoResult)
