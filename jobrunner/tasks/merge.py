"""Clips joined, sound laid under them, subtitles added: free work, done by ffmpeg in the worker."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from jobrunner.declare import TaskContext, task
from jobrunner.errors import PermanentError
from jobrunner.job import Backoff
from jobrunner.media import montage
from jobrunner.media.examining import inspected
from jobrunner.media.ffmpeg import MAX_PIXELS, Input, encoding, ffmpeg
from jobrunner.media.subtitles import Cue, webvtt
from jobrunner.tasks.params import Params, Size, Source, pixels
from jobrunner.tasks.results import result_of
from jobrunner.work import Kind

MAX_TOTAL_S = 3600.0
"""How long all inputs of one job may play together."""

_FPS = 30.0  # for a first clip that does not say its rate
_TIMEOUT = timedelta(hours=2)
_SOFT_TIMEOUT = timedelta(minutes=110)

Loudness = Annotated[float, Field(ge=-70, le=-5)]
"""Integrated loudness in LUFS (EBU R 128): -14 is what streaming sites play, -23 what broadcasters do."""


Transition = Literal["cut", "crossfade"]


class MergeVideos(Params):
    """`size` and `fps` are the first clip's, unless given. `transition_s`: how long a crossfade takes.

    `transition` is what all joints are, `transitions` what each is: one less than there are clips.
    """

    clips: Annotated[tuple[Source, ...], Field(min_length=1, max_length=100)]
    transition: Transition = "cut"
    transitions: tuple[Transition, ...] | None = None
    transition_s: Annotated[float, Field(ge=0.1, le=10)] = 0.5
    size: Size | None = None
    fps: Annotated[float, Field(ge=1, le=montage.MAX_FPS)] | None = None
    loudness_lufs: Loudness | None = None

    @field_validator("size")
    @classmethod
    def _encodable(cls, size: str | None) -> str | None:
        if size is not None and pixels(size)[0] * pixels(size)[1] > MAX_PIXELS:
            raise ValueError(f"is more than {MAX_PIXELS:,} pixels")
        return size

    @model_validator(mode="after")
    def _one_a_joint(self) -> Self:
        if self.transitions is not None and len(self.transitions) != len(self.clips) - 1:
            raise ValueError(f"transitions must be one less than the {len(self.clips)} clips")
        return self

    @property
    def joints(self) -> tuple[Transition, ...]:
        return (self.transition,) * (len(self.clips) - 1) if self.transitions is None else self.transitions


class AudioTrack(BaseModel):
    """Sound from `start_s` into the video, `gain_db` louder; `duck` lowers it while other sound plays (music)."""

    model_config = ConfigDict(extra="forbid")

    audio: Source
    start_s: Annotated[float, Field(ge=0, le=MAX_TOTAL_S)] = 0.0
    gain_db: Annotated[float, Field(ge=-60, le=30)] = 0.0
    duck: bool = False


class AddAudio(Params):
    """The video keeps its own sound; `loudness_lufs` brings the whole to one loudness."""

    video: Source
    tracks: Annotated[tuple[AudioTrack, ...], Field(min_length=1, max_length=32)]
    loudness_lufs: Loudness | None = None


class SubtitleCue(BaseModel):
    """`text` as it is to be read: markup in it is shown, not obeyed."""

    model_config = ConfigDict(extra="forbid")

    start_s: Annotated[float, Field(ge=0, le=MAX_TOTAL_S)]
    end_s: Annotated[float, Field(gt=0, le=MAX_TOTAL_S)]
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]

    @field_validator("text")
    @classmethod
    def _plain(cls, text: str) -> str:
        if any(not char.isprintable() and not char.isspace() for char in text):
            raise ValueError("holds control characters; send plain Unicode text")
        return text

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end_s <= self.start_s:
            raise ValueError("end_s must lie behind start_s")
        return self


class AddSubtitles(Params):
    """`language` is ISO 639-2 (`eng`, `deu`), for the player's menu."""

    video: Source
    cues: Annotated[tuple[SubtitleCue, ...], Field(min_length=1, max_length=5000)]
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{3}$")] = "und"


class MergeResult(BaseModel):
    """`url` is where the API serves the video, and what the row shows as `video_url`."""

    url: str
    artifact_id: str
    mime: Literal["video/mp4"]
    width: int
    height: int
    duration_s: float


@task(module="merge", timeout=_TIMEOUT, soft_timeout=_SOFT_TIMEOUT, retries=3, backoff=Backoff())
async def merge_videos(ctx: TaskContext, params: MergeVideos) -> MergeResult:
    """Clips one after another, as one video."""
    with _bench(ctx) as bench:
        clips = [await bench.take(source, "video") for source in params.clips]
        _refuse_long(clips)
        asked = "crossfade" in params.joints or params.size or params.fps or params.loudness_lufs is not None
        if not asked and await bench.alike(clips):
            listing = bench.write("clips.ffconcat", montage.splice_list(clips))
            return await bench.make(montage.spliced(listing), sum(clip.info.duration_s or 0 for clip in clips))
        look = _look(clips[0], params)
        infos = [clip.info for clip in clips]
        if short := montage.too_short(infos, look):
            raise _unfit(
                f"clips {', '.join(map(str, short))} (counted from 0) are too short for a crossfade of "
                f"{look.fade_s:g} s; choose a shorter transition_s, or a cut."
            )
        return await bench.make(montage.joined(clips, look), montage.length_s(infos, look))


@task(module="merge", timeout=_TIMEOUT, soft_timeout=_SOFT_TIMEOUT, retries=3, backoff=Backoff())
async def add_audio(ctx: TaskContext, params: AddAudio) -> MergeResult:
    """Narration, music or effects on a video."""
    with _bench(ctx) as bench:
        video = await bench.take(params.video, "video")
        length_s = video.info.duration_s or 0.0
        if late := [n for n, track in enumerate(params.tracks) if track.start_s >= length_s]:
            raise _unfit(f"tracks {', '.join(map(str, late))} start behind the video's end at {length_s:g} s.")
        tracks = [
            (await bench.take(track.audio, "audio"), montage.Track(track.start_s, track.gain_db, track.duck))
            for track in params.tracks
        ]
        _refuse_long([video, *(source for source, _ in tracks)])
        copy_picture = (await encoding(video, bench.directory)).picture == "h264"
        asked = montage.mixed(video, tracks, copy_picture=copy_picture, loudness_lufs=params.loudness_lufs)
        return await bench.make(asked, length_s)


@task(module="merge", timeout=_TIMEOUT, soft_timeout=_SOFT_TIMEOUT, retries=3, backoff=Backoff())
async def add_subtitles(ctx: TaskContext, params: AddSubtitles) -> MergeResult:
    """Subtitles that players can switch on and off."""
    with _bench(ctx) as bench:
        video = await bench.take(params.video, "video")
        _refuse_long([video])
        length_s = video.info.duration_s or 0.0
        if late := [n for n, cue in enumerate(params.cues) if cue.start_s >= length_s]:
            raise _unfit(f"cues {', '.join(map(str, late[:5]))} start behind the video's end at {length_s:g} s.")
        cues = [Cue(cue.start_s, min(cue.end_s, length_s), cue.text) for cue in params.cues]
        captions = bench.write("cues.vtt", webvtt(cues))
        known = await encoding(video, bench.directory)
        asked = montage.subtitled(
            video,
            captions,
            language=params.language,
            copy_picture=known.picture == "h264",
            copy_sound=known.sound in {"aac", None},
        )
        return await bench.make(asked, length_s)


class _Bench:
    """A directory of the job's own, with links to its inputs under names that we choose."""

    def __init__(self, ctx: TaskContext, directory: Path) -> None:
        self._ctx = ctx
        self.directory = directory
        self._taken = 0

    async def take(self, source: str, kind: Kind) -> Input:
        """Raises PermanentError `media_invalid` or `invalid_input`, and what `ctx.input` does."""
        path = self._ctx.path(await self._ctx.input(source, kind=kind))
        info = await inspected(path)
        if (info.width or 0) * (info.height or 0) > MAX_PIXELS:
            raise _unfit(f"a clip of {info.width}x{info.height} is more than {MAX_PIXELS:,} pixels a frame.")
        name = f"input{self._taken}"
        self._taken += 1
        (self.directory / name).symlink_to(path.absolute())
        return Input(name, info)

    def write(self, name: str, text: str) -> str:
        (self.directory / name).write_text(text, encoding="utf-8")
        return name

    async def alike(self, clips: Sequence[Input]) -> bool:
        """Whether the clips can be joined as they are: MP4s of H.264 and AAC that one decoder reads on."""
        first = clips[0].info
        shapes = {(clip.demuxer, clip.info.width, clip.info.height, clip.info.rotation) for clip in clips}
        if shapes != {("mov", first.width, first.height, 0)}:
            return False
        known = await encoding(clips[0], self.directory)
        if known.picture != "h264" or known.sound not in {"aac", None}:
            return False
        for clip in clips[1:]:
            if await encoding(clip, self.directory) != known:
                return False
        return True

    async def make(self, arguments: Sequence[str], length_s: float) -> MergeResult:
        made = self.directory / "made.mp4"
        await ffmpeg(arguments, into=made, seconds=length_s, progress=self._ctx.progress)
        artifact = await self._ctx.save(made, kind="video")
        return result_of(artifact, MergeResult)


@contextmanager
def _bench(ctx: TaskContext) -> Iterator[_Bench]:
    with tempfile.TemporaryDirectory(prefix="jobrunner-merge-") as directory:
        yield _Bench(ctx, Path(directory))


def _look(first: Input, params: MergeVideos) -> montage.Look:
    size = pixels(params.size) if params.size else (first.info.width or 2, first.info.height or 2)
    return montage.Look(
        size=montage.even(size),
        fps=montage.frame_rate(params.fps or first.info.fps or _FPS),
        fade_s=params.transition_s,
        cuts=frozenset(joint for joint, transition in enumerate(params.joints) if transition == "cut"),
        loudness_lufs=params.loudness_lufs,
    )


def _refuse_long(inputs: Sequence[Input]) -> None:
    total_s = sum(each.info.duration_s or 0.0 for each in inputs)
    if total_s > MAX_TOTAL_S:
        raise _unfit(f"the files play {total_s:,.0f} s together, more than {MAX_TOTAL_S:,.0f} s.")


def _unfit(what: str) -> PermanentError:
    return PermanentError(f"These inputs cannot be merged: {what}", code="invalid_input")
