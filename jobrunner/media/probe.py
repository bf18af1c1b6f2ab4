"""Type, size and duration of any file that we keep. Synchronous: call it in a thread.

Pictures are read by `pictures`; clips and sounds by MediaInfo (BSD-2-Clause, a library in its wheel), which parses
headers and indexes and decodes nothing.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobrunner.errors import PermanentError
from jobrunner.media.pictures import PICTURES, image_info
from jobrunner.work import Kind

MAX_DURATION_S = 6 * 3600.0
MAX_STREAMS = 16

_MP4_BRANDS = rb"isom|iso\d|mp4\d|avc1|M4V |M4VP|dash|MSNV|cmf[cs2]"
_MAGIC: tuple[tuple[re.Pattern[bytes], str], ...] = (
    *PICTURES,
    (re.compile(rb"....ftypqt  ", re.DOTALL), "video/quicktime"),
    (re.compile(rb"....ftypM4A ", re.DOTALL), "audio/mp4"),
    (re.compile(rb"....ftyp(?:" + _MP4_BRANDS + rb")", re.DOTALL), "video/mp4"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), "video/webm"),
    (re.compile(rb"RIFF....WAVE", re.DOTALL), "audio/wav"),
    (re.compile(rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"), "audio/mpeg"),
    (re.compile(rb"OggS"), "audio/ogg"),
    (re.compile(rb"fLaC"), "audio/flac"),
    (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), "audio/aac"),
)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """`width` and `height` in pixels as shown, where there is a picture; `duration_s`, where there is time.

    `rotation`: by how many degrees a player turns a clip (phones film lying); `fps` where the file says it.
    """

    mime: str
    kind: Kind
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    has_audio: bool = False
    fps: float | None = None
    rotation: int = 0


def sniff(head: bytes) -> str | None:
    """The media type that a file's first 16 bytes say it is; None if it is none that we keep."""
    return next((mime for magic, mime in _MAGIC if magic.match(head)), None)


def media_info(path: Path) -> MediaInfo:
    """What the whole, untruncated file at `path` is. Raises PermanentError `media_invalid` for anything else."""
    with path.open("rb") as file:
        mime = sniff(file.read(16))
    if mime is None:
        raise _invalid("no picture, clip or sound of a type that is kept")
    if mime.startswith("image/"):
        image = image_info(path)
        return MediaInfo(image.mime, "image", image.width, image.height)
    return _timed(path, mime)


def _timed(path: Path, mime: str) -> MediaInfo:
    from pymediainfo import MediaInfo as Parsed  # noqa: PLC0415  # loads a shared library

    parsed = Parsed.parse(path)
    if not isinstance(parsed, Parsed):
        raise _invalid(f"a {mime} file that cannot be read")
    tracks = [track for track in parsed.tracks if track.track_type in {"Video", "Audio"}]
    general = next((track for track in parsed.tracks if track.track_type == "General"), None)
    if not tracks or len(parsed.tracks) > MAX_STREAMS:
        raise _invalid(f"a {mime} file with {len(tracks)} streams that can be played")
    video = next((track for track in tracks if track.track_type == "Video"), None)
    has_audio = any(track.track_type == "Audio" for track in tracks)
    duration_s = _seconds(general, *tracks)
    if general is not None and getattr(general, "istruncated", None) == "Yes":
        raise _invalid(f"a {mime} file that was cut short")
    if not 0 < duration_s <= MAX_DURATION_S:
        raise _invalid(f"a {mime} file of {duration_s:g} seconds")
    if video is None:
        return MediaInfo(mime.replace("video/", "audio/"), "audio", duration_s=duration_s, has_audio=has_audio)
    rotation = round(float(video.rotation or 0)) % 360
    width, height = (video.height, video.width) if rotation in {90, 270} else (video.width, video.height)
    fps = float(video.frame_rate) if video.frame_rate else None
    return MediaInfo(mime, "video", width, height, duration_s, has_audio, fps, rotation)


def _seconds(*tracks: Any) -> float:
    lengths = [float(track.duration) for track in tracks if track is not None and track.duration]
    return max(lengths, default=0.0) / 1000


def _invalid(what: str) -> PermanentError:
    return PermanentError(f"The file is {what}.", code="media_invalid")
