"""Mouths that really move: open where something is said, shut where nothing is, on the faces and as long as asked."""

import io
import subprocess
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray

from jobrunner.media.examining import media_info
from jobrunner.request import SyncMode
from jobrunner.sandbox.artists import speeches
from jobrunner.sandbox.artists.clips import Clips, Shot
from jobrunner.sandbox.artists.faces import Picture, search
from jobrunner.sandbox.artists.lips import FPS, Lips
from jobrunner.sandbox.artists.studio import Studio
from jobrunner.sandbox.artists.voice import Moment
from jobrunner.sandbox.state import open_state
from tests.integration.drivers.inputs import clip

SIZE = (640, 360)
Frames = NDArray[np.int16]


@pytest.fixture
async def lips(tmp_path: Path) -> AsyncIterator[Lips]:
    lips = Lips(tmp_path / "lips")
    yield lips
    await lips.aclose()


@pytest.fixture
async def film(tmp_path: Path) -> AsyncIterator[bytes]:
    """A person in a meadow, while the camera moves."""
    studio = Studio()
    clips = Clips(tmp_path / "clips", studio)
    yield await clips.clip(Shot("a girl in a sunny meadow", 0, SIZE, 1.5))
    await clips.aclose()
    await studio.aclose()


def sound(*parts: tuple[float, float]) -> bytes:
    """A tone; each part has (seconds, loudness 0 to 1)."""
    waves = [volume * np.sin(np.arange(round(8000 * seconds)) * 0.2) for seconds, volume in parts]
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes((np.concatenate(waves) * 20_000).astype("<i2").tobytes())
    return file.getvalue()


def decoded(film: bytes, path: Path, format: str = "gray") -> bytes:
    path.write_bytes(film)
    command = [get_ffmpeg_exe(), "-v", "error", "-i", path, "-vf", f"fps={FPS}", "-pix_fmt", format]
    return subprocess.run([*command, "-f", "rawvideo", "-"], check=True, capture_output=True).stdout


def brightness(film: bytes, path: Path, size: tuple[int, int] = SIZE) -> Frames:
    """Of shape (frames, height, width)."""
    return np.frombuffer(decoded(film, path), np.uint8).reshape(-1, size[1], size[0]).astype(np.int16)


def painted(before: Frames, after: Frames) -> NDArray[np.int64]:
    """How many pixels of each frame became something else."""
    pixels: NDArray[np.int64] = np.sum(np.abs(after - before[: len(after)]) > 40, axis=(1, 2))
    return pixels


async def test_a_mouth_opens_with_the_sound_and_stays_shut_in_silence(lips: Lips, film: bytes, tmp_path: Path) -> None:
    made = await lips.synced(film, sound((0.5, 0), (0.5, 1), (0.5, 0)), "cut_off")
    before, after = brightness(film, tmp_path / "before"), brightness(made, tmp_path / "after")
    mouth = painted(before, after)
    assert len(mouth) == 36
    silent, loud = np.concatenate([mouth[1:11], mouth[26:]]), mouth[13:23]
    assert loud.min() > 2 * silent.max()
    size = SIZE[0] * SIZE[1] * 3 // 2
    [face] = search(Picture(decoded(film, tmp_path / "before", "yuv420p")[18 * size : 19 * size], *SIZE))
    rows, columns = np.nonzero(np.abs(after[18] - before[18]) > 40)
    assert np.hypot(columns - face.x, rows - face.y).max() < face.radius
    assert rows.mean() > face.y


async def test_where_the_phonemes_are_known_the_lips_meet_although_it_is_loud(
    lips: Lips, film: bytes, tmp_path: Path
) -> None:
    phonemes = [Moment(0.0, "m"), Moment(0.5, "a"), Moment(1.0, "")]
    made = await lips.synced(film, sound((1.5, 1)), "cut_off", phonemes)
    mouth = painted(brightness(film, tmp_path / "before"), brightness(made, tmp_path / "after"))
    assert mouth[13:23].min() > 3 * max(mouth[:11].max(), mouth[25:].max())


async def test_what_this_sandbox_spoke_is_known_again_by_its_file(tmp_path: Path) -> None:
    state = open_state(tmp_path, speed=1.0)
    file = await state.recorder.spoken("Hello there.", "narrator")
    await state.aclose()
    again = open_state(tmp_path, speed=1.0)
    known = speeches.phonemes(again.db, file)
    assert len(known) > 5
    assert known[0].start_s < known[-1].start_s
    assert speeches.phonemes(again.db, file + b"more") == ()
    await again.aclose()


async def test_without_a_face_a_mouth_moves_in_the_lower_third(lips: Lips, tmp_path: Path) -> None:
    made = await lips.synced(clip(), sound((0.5, 1)), "cut_off")
    before, after = (brightness(each, tmp_path / "film", (64, 64)) for each in (clip(), made))
    rows, _ = np.nonzero(np.abs(after[6] - before[6]) > 40)
    assert rows.size
    assert rows.mean() > 64 * 2 / 3


@pytest.mark.parametrize(
    ("mode", "sound_s", "made_s"),
    [
        ("cut_off", 0.75, 0.5),
        ("cut_off", 0.25, 0.25),
        ("silence", 0.75, 0.75),
        ("silence", 0.25, 0.5),
        ("remap", 0.75, 0.75),
        ("remap", 0.25, 0.25),
        ("loop", 1.25, 1.25),
        ("bounce", 1.25, 1.25),
        ("bounce", 0.25, 0.25),
    ],
)
async def test_picture_and_sound_last_as_long_as_the_mode_says(
    lips: Lips, tmp_path: Path, mode: SyncMode, sound_s: float, made_s: float
) -> None:
    made = await lips.synced(clip(), sound((sound_s, 1)), mode)
    assert len(brightness(made, tmp_path / "film", (64, 64))) == round(made_s * FPS)
    info = media_info(tmp_path / "film")
    assert info.has_audio
    assert info.duration_s == pytest.approx(made_s, abs=0.06)


@pytest.mark.parametrize(
    ("mode", "shown"),
    [("loop", [0, 1, 2, 3, 4, 5] * 2), ("bounce", [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0])],
)
async def test_a_short_video_is_repeated_or_played_to_and_fro(
    lips: Lips, tmp_path: Path, mode: SyncMode, shown: list[int]
) -> None:
    made = await lips.synced(clip(), sound((1.0, 0)), mode)
    before, after = (brightness(each, tmp_path / "film", (64, 64))[::2, :40] for each in (clip(), made))
    nearest = [int(np.argmin([np.abs(frame - each).mean() for each in before])) for frame in after]
    assert nearest == shown


async def test_what_is_no_pair_of_video_and_sound_is_refused(lips: Lips) -> None:
    for video, audio, says in (
        (b"#EXTM3U\n/etc/passwd", sound((0.5, 1)), "the video cannot be read"),
        (clip(), b"", "the sound cannot be read"),
        (clip(), clip(), "a video and a sound"),
        (sound((0.5, 1)), sound((0.5, 1)), "a video and a sound"),
    ):
        with pytest.raises(ValueError, match=says):
            await lips.measured(video, audio)
