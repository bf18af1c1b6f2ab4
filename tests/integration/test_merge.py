"""Joining, mixing and subtitling by the real ffmpeg, on clips of a second or less that it made itself."""

import asyncio
import importlib.util
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest

from jobrunner.errors import PermanentError, TransientError
from jobrunner.media import ffmpeg as process
from jobrunner.media.examining import media_info
from jobrunner.media.ffmpeg import Input, binary, encoding, ffmpeg
from jobrunner.tasks.merge import AddAudio, AddSubtitles, MergeVideos, add_audio, add_subtitles, merge_videos
from jobrunner.work import Artifact, Kind
from jobrunner.worker.supervise import Supervised
from tests.context import NoContext

T = TypeVar("T")

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
ENDLESS = ["-f", "lavfi", "-re", "-i", "testsrc=s=64x64:r=5", "-f", "mpegts"]


def make(path: Path, *arguments: str) -> Path:
    subprocess.run([binary(), "-nostdin", "-loglevel", "error", "-y", *arguments, str(path)], check=True)
    return path


def picture(size: str = "160x120", fps: int = 24, duration_s: float = 1.0, source: str = "testsrc") -> list[str]:
    return ["-f", "lavfi", "-i", f"{source}=s={size}:r={fps}:d={duration_s}"]


def tone(hz: int = 440, duration_s: float = 1.0) -> list[str]:
    return ["-f", "lavfi", "-i", f"sine={hz}:d={duration_s}"]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("clips")
    return {
        "one": make(place / "one.mp4", *picture(), *tone(), *H264, "-c:a", "aac"),
        "two": make(place / "two.mp4", *picture(source="testsrc2"), *tone(880), *H264, "-c:a", "aac"),
        "mute": make(place / "mute.mp4", *picture("120x160", 25), *H264),
        "vp8": make(place / "vp8.webm", *picture("120x90", 30), *tone(), "-c:v", "libvpx", "-c:a", "libvorbis"),
        "tone": make(place / "tone.wav", *tone(1000, 0.5)),
        "music": make(place / "music.mp3", *tone(200, 2.0)),
    }


class Desk(NoContext):
    """A context whose inputs are files of the test."""

    def __init__(self, clips: dict[str, Path], kept: Path) -> None:
        self._clips = {str(UUID(int=n)): path for n, path in enumerate(clips.values())}
        self._ids = dict(zip(clips, self._clips, strict=True))
        self._kept = kept
        self.heard: list[float] = []

    def id(self, name: str) -> str:
        return self._ids[name]

    async def step(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        return await make()

    async def save(self, path: Path, *, kind: Kind, step: str = "save") -> Artifact:
        info = media_info(path)
        assert info.kind == kind
        self.made = self._kept / "made.mp4"
        self.made.write_bytes(path.read_bytes())
        return Artifact(uuid4(), None, kind, info.mime, 1, "", "", info.width, info.height, info.duration_s)

    async def input(self, source: str, *, kind: Kind | None) -> Artifact:
        return Artifact(UUID(source), None, kind or "video", "", 1, "", source)

    def path(self, artifact: Artifact) -> Path:
        return self._clips[artifact.key]

    def progress(self, fraction: float, note: str = "") -> None:
        self.heard.append(fraction)


@pytest.fixture
def desk(clips: dict[str, Path], tmp_path: Path) -> Desk:
    return Desk(clips, tmp_path)


def told(path: Path) -> str:
    """What ffmpeg says of a file."""
    run = [binary(), "-hide_banner", "-i", str(path)]
    return subprocess.run(run, capture_output=True, text=True, check=False).stderr  # no output named: it ends with 1


def packets(path: Path) -> list[str]:
    """The size and hash of each encoded picture."""
    run = [binary(), "-loglevel", "error", "-i", str(path), "-map", "0:v", "-c", "copy", "-f", "framecrc", "-"]
    lines = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()
    return [",".join(line.split(",")[4:6]) for line in lines if not line.startswith("#")]


def captions(path: Path) -> str:
    """The text track as it is stored."""
    run = [binary(), "-loglevel", "error", "-i", str(path), "-map", "0:s", "-c", "copy", "-f", "data", "-"]
    return subprocess.run(run, capture_output=True, check=True).stdout.decode()


def loudness(path: Path, start_s: float, length_s: float) -> float:
    """The mean square of the sound between two moments."""
    run = [binary(), "-loglevel", "error", "-ss", str(start_s), "-t", str(length_s), "-i", str(path)]
    raw = subprocess.run([*run, "-f", "s16le", "-ac", "1", "-"], capture_output=True, check=True).stdout
    samples = memoryview(raw).cast("h")
    return sum(sample * sample for sample in samples) / len(samples)


async def test_clips_of_every_make_become_one_video(desk: Desk) -> None:
    ids = [desk.id(name) for name in ("vp8", "one", "mute")]
    made = await merge_videos(desk, MergeVideos(user_id="u", clips=tuple(ids)))
    assert (made.width, made.height, made.mime) == (120, 90, "video/mp4")
    assert made.duration_s == pytest.approx(3.0, abs=0.1)
    said = told(desk.made)
    assert "Video: h264" in said
    assert "30 fps" in said
    assert "Audio: aac (LC) (mp4a / 0x6134706D), 48000 Hz, stereo" in said
    assert desk.heard[-1] == pytest.approx(1.0, abs=0.05)
    data = desk.made.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


async def test_clips_of_one_encoding_are_joined_without_being_encoded_again(desk: Desk, clips: dict[str, Path]) -> None:
    made = await merge_videos(desk, MergeVideos(user_id="u", clips=(desk.id("one"), desk.id("two"), desk.id("one"))))
    assert packets(desk.made) == packets(clips["one"]) + packets(clips["two"]) + packets(clips["one"])
    assert made.duration_s == pytest.approx(3.0, abs=0.15)


async def test_a_crossfade_takes_its_time_from_both_clips(desk: Desk) -> None:
    asked = MergeVideos(
        user_id="u",
        clips=tuple(desk.id(name) for name in ("one", "mute", "two")),
        transition="crossfade",
        transition_s=0.25,
        size="64x48",
        fps=12,
        loudness_lufs=-16,
    )
    made = await merge_videos(desk, asked)
    assert (made.width, made.height) == (64, 48)
    assert made.duration_s == pytest.approx(2.5, abs=0.1)
    assert "48000 Hz" in told(desk.made)


async def test_each_joint_may_be_of_its_own_kind(desk: Desk) -> None:
    ids = tuple(desk.id(name) for name in ("one", "mute", "two", "vp8"))
    joints = ("cut", "crossfade", "cut")
    made = await merge_videos(desk, MergeVideos(user_id="u", clips=ids, transitions=joints, transition_s=0.25))
    assert made.duration_s == pytest.approx(3.75, abs=0.1)


async def test_a_crossfade_longer_than_a_clip_is_refused(desk: Desk) -> None:
    ids = tuple(desk.id(name) for name in ("one", "two", "mute"))
    with pytest.raises(PermanentError, match=r"clips 1 .* too short for a crossfade of 0.6 s") as refused:
        await merge_videos(desk, MergeVideos(user_id="u", clips=ids, transition="crossfade", transition_s=0.6))
    assert refused.value.code == "invalid_input"


async def test_sound_is_laid_where_it_is_asked_for_and_the_picture_is_copied(
    desk: Desk, clips: dict[str, Path]
) -> None:
    asked = {"user_id": "u", "video": desk.id("mute"), "tracks": [{"audio": desk.id("tone"), "start_s": 0.5}]}
    made = await add_audio(desk, AddAudio.model_validate(asked))
    assert made.duration_s == pytest.approx(1.0, abs=0.05)
    assert packets(desk.made) == packets(clips["mute"])
    assert loudness(desk.made, 0.05, 0.35) < 10 < loudness(desk.made, 0.6, 0.3)


async def test_music_gives_way_to_other_sound(desk: Desk) -> None:
    levels = []
    for duck in (False, True):
        tracks = [{"audio": desk.id("music"), "duck": duck}, {"audio": desk.id("tone"), "gain_db": -10}]
        await add_audio(desk, AddAudio.model_validate({"user_id": "u", "video": desk.id("vp8"), "tracks": tracks}))
        levels.append(loudness(desk.made, 0.2, 0.3))
    assert levels[1] < levels[0] * 0.9
    assert "Video: h264" in told(desk.made)


async def test_sound_behind_the_end_is_refused(desk: Desk) -> None:
    tracks = [{"audio": desk.id("tone"), "start_s": 1.5}]
    with pytest.raises(PermanentError, match="tracks 0 start behind the video's end at 1 s"):
        await add_audio(desk, AddAudio.model_validate({"user_id": "u", "video": desk.id("mute"), "tracks": tracks}))


async def test_subtitles_say_what_was_written(desk: Desk, clips: dict[str, Path]) -> None:
    hostile = "<b>bold</b> & {an8}up\n\n1\n00:00:00,000 --> 00:00:09,000\ninjected"
    cues = [{"start_s": 0.1, "end_s": 0.4, "text": hostile}, {"start_s": 0.5, "end_s": 9, "text": "'; [v] \u00fc"}]
    asked = {"user_id": "u", "video": desk.id("one"), "cues": cues, "language": "deu"}
    made = await add_subtitles(desk, AddSubtitles.model_validate(asked))
    assert made.duration_s == pytest.approx(1.0, abs=0.1)
    assert packets(desk.made) == packets(clips["one"])
    assert "(deu): Subtitle: mov_text" in told(desk.made)
    said = captions(desk.made)
    for text in ("<b>bold</b> & (an8)up\n1\n00:00:00,000 --> 00:00:09,000\ninjected", "'; [v] \u00fc"):
        assert text in said


async def test_a_clip_filmed_upright_is_as_wide_as_it_is_shown(
    desk: Desk, clips: dict[str, Path], tmp_path: Path
) -> None:
    turned = make(tmp_path / "turned.mp4", "-display_rotation", "90", "-i", str(clips["one"]), "-c", "copy")
    clips = {"turned": turned, "one": clips["one"]}
    desk = Desk(clips, tmp_path)
    made = await merge_videos(desk, MergeVideos(user_id="u", clips=(desk.id("turned"), desk.id("one"))))
    assert (made.width, made.height) == (120, 160)


async def test_a_playlist_that_calls_itself_mp4_is_refused(tmp_path: Path) -> None:
    playlist = tmp_path / "clip.mp4"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", encoding="utf-8")
    desk = Desk({"clip": playlist}, tmp_path)
    with pytest.raises(PermanentError) as refused:
        await merge_videos(desk, MergeVideos(user_id="u", clips=(desk.id("clip"),)))
    assert refused.value.code == "media_invalid"


async def test_no_demuxer_but_the_one_that_was_named_reads_a_file(clips: dict[str, Path], tmp_path: Path) -> None:
    """Should a hostile file get past the probe."""
    info = media_info(clips["one"])
    (tmp_path / "input0").write_text("ffconcat version 1.0\nfile /etc/hostname\n", encoding="utf-8")
    with pytest.raises(PermanentError) as refused:
        await encoding(Input("input0", info), tmp_path)
    assert refused.value.code == "ffmpeg_failed"
    assert str(tmp_path) not in str(refused.value)


async def test_a_file_beyond_its_limit_ends_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(process._LIMITS, resource.RLIMIT_FSIZE, 10_000)
    noise = ["-f", "lavfi", "-i", "testsrc=s=320x240:d=5", "-c:v", "rawvideo", "-f", "avi"]
    with pytest.raises(PermanentError, match="larger than 10,000 bytes"):
        await ffmpeg(noise, into=tmp_path / "out.avi")


async def started(into: Path, run: Coroutine[Any, Any, Any]) -> tuple["asyncio.Task[Any]", int]:
    """A running ffmpeg, by the first bytes that it wrote, and its pid."""
    task = asyncio.create_task(run)
    while (pid := pid_of(into)) is None:
        assert not task.done()
        await asyncio.sleep(0.01)
    return task, pid


def pid_of(into: Path) -> int | None:
    """The process that works in a directory and was told to write `into`."""
    for each in Path("/proc").iterdir():
        if each.name.isdecimal() and int(each.name) != os.getpid():
            try:
                command, place = (each / "cmdline").read_bytes(), (each / "cwd").readlink()
            except OSError:
                continue
            if f"file:{into.name}".encode() in command and place == into.parent:
                return int(each.name)
    return None


async def test_a_cancelled_ffmpeg_is_gone_before_the_cancellation_goes_on(tmp_path: Path) -> None:
    into = tmp_path / "out.ts"
    task, pid = await started(into, ffmpeg(ENDLESS, into=into))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)


async def test_an_ffmpeg_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_GRACE_S", 0.05)
    into = tmp_path / "out.ts"
    task, pid = await started(into, ffmpeg(ENDLESS, into=into))
    os.kill(pid, signal.SIGSTOP)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pid_of(into) is None


async def test_a_timeout_of_the_job_ends_ffmpeg_too(tmp_path: Path) -> None:
    into = tmp_path / "out.ts"
    supervised = Supervised(ffmpeg(ENDLESS, into=into), soft_s=60, hard_s=60)
    _, pid = await started(into, supervised.run())
    supervised.stop("soft")
    await asyncio.wait([supervised.task])
    assert not supervised.abandoned
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)


async def test_an_ffmpeg_that_somebody_else_killed_is_tried_again(tmp_path: Path) -> None:
    into = tmp_path / "out.ts"
    task, pid = await started(into, ffmpeg(ENDLESS, into=into))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(TransientError) as stopped:
        await task
    assert stopped.value.code == "ffmpeg_killed"


async def test_no_more_run_than_there_are_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    first, _ = await started(tmp_path / "1.ts", ffmpeg(ENDLESS, into=tmp_path / "1.ts"))
    second = asyncio.create_task(ffmpeg(ENDLESS, into=tmp_path / "2.ts"))
    while not process._turn()._waiters:  # noqa: ASYNC110  # a semaphore tells nobody who waits
        await asyncio.sleep(0)  # a semaphore tells nobody who waits
    assert pid_of(tmp_path / "2.ts") is None
    for task in (second, first):
        task.cancel()
    assert len(await asyncio.gather(first, second, return_exceptions=True)) == 2


async def test_without_ffmpeg_the_job_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(process, "binary", binary.__wrapped__)
    with pytest.raises(PermanentError, match="apt install ffmpeg") as missing:
        await ffmpeg([], into=tmp_path / "out.mp4")
    assert missing.value.code == "ffmpeg_missing"
