"""Makes short films: a camera moves over a picture, drawn from words or given as the first frame. H.264 in MP4.

The same words, seed, size, length and first frame give the same bytes. The work is done by ffmpeg (the static build
in imageio-ffmpeg's wheel, GPL, hence only ever a subprocess), and what was made is kept on disk by its order's hash.
"""

import hashlib
import random
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from jobrunner.sandbox.artists.child import run
from jobrunner.sandbox.artists.shelf import Shelf
from jobrunner.sandbox.artists.studio import Studio

FPS: Final = 12
MAX_DURATION_S: Final = 60.0
PICTURED: Final = 0.84
"""How much of a drawn picture's height lies above its caption."""
_FRAME_DEMUXERS: Final = {b"\x89PNG": "png_pipe", b"\xff\xd8\xff": "jpeg_pipe", b"RIFF": "webp_pipe"}


@dataclass(frozen=True, slots=True)
class Shot:
    """What is filmed. `size` is (width, height) in pixels; `sound`: a quiet wind is heard, else there is no track."""

    text: str
    seed: int
    size: tuple[int, int]
    duration_s: float
    sound: bool = False
    fps: int = FPS

    @property
    def even(self) -> tuple[int, int]:
        """The size that is made: colour is kept for every second pixel (yuv420p)."""
        return self.size[0] // 2 * 2, self.size[1] // 2 * 2

    @property
    def frames(self) -> int:
        return max(1, round(min(self.duration_s, MAX_DURATION_S) * self.fps))

    def digest(self, first_frame: bytes | None) -> str:
        return hashlib.sha256(repr(astuple(self)).encode() + b"\0" + (first_frame or b"")).hexdigest()


def frame_demuxer(first_frame: bytes) -> str:
    """How ffmpeg is to read it: told, never guessed, so that no playlist passes for a picture. Raises ValueError."""
    for magic, demuxer in _FRAME_DEMUXERS.items():
        if first_frame.startswith(magic):
            return demuxer
    raise ValueError("a first frame must be a PNG, JPEG or WebP picture")


def command(shot: Shot, demuxer: str, into: Path, *, captioned: bool) -> list[str]:
    """What ffmpeg is told: the picture comes on stdin, the clip goes `into` a file."""
    seconds = f"{shot.frames / shot.fps:.6f}"
    wind = ["-f", "lavfi", "-i", f"anoisesrc=color=brown:amplitude=0.05:seed={shot.seed % 2**31}:duration={seconds}"]
    return [
        "-nostdin", "-v", "error", "-y", "-threads", "1", "-protocol_whitelist", "pipe,file",
        "-f", demuxer, "-i", "pipe:0", *(wind if shot.sound else []),
        "-filter_threads", "1", "-vf", _camera(shot, captioned=captioned), "-frames:v", str(shot.frames),
        "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-threads", "1",
        *(["-c:a", "aac", "-b:a", "64k"] if shot.sound else []),
        "-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact", "-movflags", "+faststart",
        "-f", "mp4", str(into),
    ]  # fmt: skip


def _camera(shot: Shot, *, captioned: bool) -> str:
    """Fill the picture at twice the size, so that a slow move does not tremble; then pan and zoom over it."""
    width, height = shot.even
    chance = random.Random(f"{shot.text}\0{shot.seed}")  # noqa: S311  # a choice, not a secret
    done = f"on/{max(1, shot.frames - 1)}"
    zoom = f"1.04+0.12*{done}" if chance.random() < 0.5 else f"1.16-0.12*{done}"  # noqa: PLR2004
    across = done if chance.random() < 0.5 else f"(1-{done})"  # noqa: PLR2004
    fill = f"scale={2 * width}:{2 * height}:force_original_aspect_ratio=increase,crop={2 * width}:{2 * height}"
    move = f"zoompan=z='{zoom}':x='(iw-iw/zoom)*{across}':y='(ih-ih/zoom)*{chance.random():.3f}'"
    top = f"crop=iw:ih*{PICTURED}:0:0," if captioned else ""
    return f"format=yuv420p,{top}{fill},setsar=1,{move}:d={shot.frames}:s={width}x{height}:fps={shot.fps}"


class Clips:
    """Films on demand. Equal orders are made once and kept."""

    def __init__(self, directory: Path, studio: Studio) -> None:
        self._shelf = Shelf(directory)
        self._studio = studio

    async def clip(self, shot: Shot, first_frame: bytes | None = None) -> bytes:
        """An MP4 file. Raises ValueError for a first frame that is no picture, RuntimeError if ffmpeg fails."""

        async def film(into: Path) -> None:
            from imageio_ffmpeg import get_ffmpeg_exe  # noqa: PLC0415  # the [local] extra's

            frame = first_frame or await self._drawn(shot)
            told = command(shot, frame_demuxer(frame), into, captioned=first_frame is None)
            await run([get_ffmpeg_exe(), *told], frame)

        return await self._shelf.file(f"{shot.digest(first_frame)}.mp4", film)

    async def aclose(self) -> None:
        await self._shelf.aclose()

    async def _drawn(self, shot: Shot) -> bytes:
        """Higher by its caption than it is filmed: a camera that moves would cut through the words."""
        width, height = shot.even
        return await self._studio.picture(
            shot.text, seed=shot.seed, size=(width, round(height / PICTURED)), format="jpeg"
        )
