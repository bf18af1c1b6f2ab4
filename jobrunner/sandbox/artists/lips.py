"""Lipsync: a clip whose mouths move with a sound, as long as the sync mode says. H.264 with AAC in MP4.

The sounds that are heard come from the times of the phonemes where this sandbox spoke the file itself, else from how
loud it is. `mouths` does the work, in a process of its own; what was made is kept on disk by its order's hash.
"""

import asyncio
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from jobrunner.errors import PermanentError
from jobrunner.media import MediaInfo
from jobrunner.media.examining import media_info
from jobrunner.request import SyncMode
from jobrunner.sandbox.artists import child
from jobrunner.sandbox.artists.shelf import Shelf
from jobrunner.sandbox.artists.visemes import spoken
from jobrunner.sandbox.artists.voice import Moment

SYNC_MODES: Final = frozenset(get_args(SyncMode))
FPS: Final = 24
"""Whatever the clip has: a film of the sandbox has 12, too few for lips."""
MAX_LENGTH_S: Final = 300.0
_TIMEOUT_S: Final = 600.0
_PROGRAM: Final = (sys.executable, "-m", "jobrunner.sandbox.artists.mouths")
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1"}
_DEMUXERS: Final = {
    "video/mp4": "mov", "video/quicktime": "mov", "video/webm": "matroska", "audio/mp4": "mov",
    "audio/webm": "matroska", "audio/mpeg": "mp3", "audio/wav": "wav", "audio/ogg": "ogg", "audio/flac": "flac",
    "audio/aac": "aac",
}  # fmt: skip
"""How ffmpeg is to read a file: told, never guessed, so that no playlist passes for a clip."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A clip and a sound that were looked at, and how many seconds each lasts."""

    video: MediaInfo
    audio: MediaInfo

    def length_s(self, mode: SyncMode) -> float:
        """Of the result; sync.so's guide to the sync modes has the table."""
        video_s, audio_s = self.video.duration_s or 0.0, self.audio.duration_s or 0.0
        wanted = {"cut_off": min(video_s, audio_s), "silence": max(video_s, audio_s)}.get(mode, audio_s)
        return min(wanted, MAX_LENGTH_S)

    def stretch(self, mode: SyncMode) -> float:
        """How much slower the clip is shown."""
        return (self.audio.duration_s or 0.0) / (self.video.duration_s or 1.0) if mode == "remap" else 1.0


class Lips:
    """Syncs on demand. Equal orders are made once and kept."""

    def __init__(self, directory: Path) -> None:
        self._shelf = Shelf(directory)

    async def measured(self, video: bytes, sound: bytes) -> Pair:
        """Raises ValueError, which says which of the two is none."""
        with tempfile.TemporaryDirectory(prefix="jobrunner-lips-") as directory:
            return await asyncio.to_thread(_measured, Path(directory), video, sound)

    async def synced(self, video: bytes, sound: bytes, mode: SyncMode, phonemes: Sequence[Moment] = ()) -> bytes:
        """An MP4 file. `phonemes`: what is said when, where that is known. Raises ValueError, RuntimeError."""

        async def make(into: Path) -> None:
            with tempfile.TemporaryDirectory(prefix="jobrunner-lips-") as directory:
                pair = await asyncio.to_thread(_measured, Path(directory), video, sound)
                order = _order(Path(directory), pair, mode, phonemes) | {"into": str(into)}
                stdin = json.dumps(order).encode()
                await child.run(_PROGRAM, stdin, environ=_ONE_THREAD, timeout_s=_TIMEOUT_S)

        parts = [hashlib.sha256(file).hexdigest() for file in (video, sound)]
        digest = hashlib.sha256(repr((*parts, mode, tuple(phonemes))).encode()).hexdigest()
        return await self._shelf.file(f"{digest}.mp4", make)

    async def aclose(self) -> None:
        await self._shelf.aclose()


def _measured(directory: Path, video: bytes, sound: bytes) -> Pair:
    """Both files as `video` and `sound` in `directory`, and what they are."""
    found = []
    for name, file in (("video", video), ("sound", sound)):
        (directory / name).write_bytes(file)
        try:
            found.append(media_info(directory / name))
        except PermanentError as error:
            raise ValueError(f"the {name} cannot be read: {error}") from None
    if found[0].kind != "video" or not (found[1].kind == "audio" or found[1].has_audio):
        raise ValueError(f"a video and a sound are needed, not {found[0].mime} and {found[1].mime}")
    return Pair(*found)


def _order(directory: Path, pair: Pair, mode: SyncMode, phonemes: Sequence[Moment]) -> dict[str, object]:
    """What `mouths` is told."""
    from imageio_ffmpeg import get_ffmpeg_exe  # noqa: PLC0415  # the [local] extra's

    count = max(1, round(pair.length_s(mode) * FPS))
    return {
        "ffmpeg": get_ffmpeg_exe(),
        "video": _read(directory / "video", pair.video),
        "sound": _read(directory / "sound", pair.audio),
        "width": (pair.video.width or 2) // 2 * 2,
        "height": (pair.video.height or 2) // 2 * 2,
        "fps": FPS,
        "frames": count,
        "stretch": pair.stretch(mode),
        "again": mode if mode in ("loop", "bounce") else "",
        "shapes": spoken(phonemes, count, FPS) if phonemes else [],
    }


def _read(path: Path, info: MediaInfo) -> list[str]:
    return ["-protocol_whitelist", "file", "-f", _DEMUXERS[info.mime], "-i", f"file:{path}"]
