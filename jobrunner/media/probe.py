"""Type, size and duration of any file that we keep, read in this process: `examining` has another do it.

Pictures are read by `pictures`; clips and sounds by MediaInfo (BSD-2-Clause, a library in its wheel), which parses
headers and indexes and decodes nothing.
"""

import io
import math
import re
import wave
from dataclasses import dataclass, replace
from typing import BinaryIO

from jobrunner.errors import PermanentError
from jobrunner.media.pictures import MAX_PIXELS, PICTURES, picture
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
_TIMED = ("General", "Video", "Audio")
_ASKED = "\n".join(
    (
        r"General;General|%Duration%|%IsTruncated%\n",
        r"Video;Video|%Duration%|%Width%|%Height%|%Rotation%|%FrameRate%\n",
        r"Audio;Audio|%Duration%\n",
        *(rf"{kind};{kind}\n" for kind in ("Text", "Other", "Image", "Menu")),
    )
)
"""A template for each kind of stream, in MediaInfo's own language (`mediainfo --Info-Parameters` lists the words)."""

KEPT = frozenset(mime for _, mime in _MAGIC) | {"audio/webm", "audio/quicktime"}
"""Every type that a file may turn out to be; the last two are clips without a picture."""


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


def examine(file: BinaryIO) -> MediaInfo:
    """What the whole, untruncated file is. Raises PermanentError `media_invalid` for anything else.

    Clips and sounds go through a large parser in C++: whatever else that raises, or does, means no better.
    """
    file.seek(0)
    mime = sniff(file.read(16))
    if mime is None:
        raise _invalid("no picture, clip or sound of a type that is kept")
    if mime.startswith("image/"):
        image = picture(file)
        return MediaInfo(image.mime, "image", image.width, image.height)
    return _timed(file, mime)


def warm_up() -> None:
    """Load what `examine` needs: where it is called, no file may be opened."""
    silence = io.BytesIO()
    with wave.open(silence, "wb") as wav:
        wav.setparams((1, 1, 8000, 0, "NONE", ""))
        wav.writeframes(bytes(8000))
    _parsed(silence)


def _timed(file: BinaryIO, mime: str) -> MediaInfo:
    streams = _parsed(file)
    if len(streams) > MAX_STREAMS:
        raise _invalid(f"a {mime} file of more than {MAX_STREAMS} streams")
    first = {kind: values for kind, *values in reversed(streams)}
    general, video, audio = (first.get(kind) for kind in ("General", "Video", "Audio"))
    if general is None or (video is None and audio is None):
        raise _invalid(f"a {mime} file without a stream that can be played")
    if general[1] == "Yes":
        raise _invalid(f"a {mime} file that was cut short")
    duration_s = max(_number(values[0]) for kind, *values in streams if kind in _TIMED) / 1000
    if not 0 < duration_s <= MAX_DURATION_S:
        raise _invalid(f"a {mime} file of {duration_s:g} seconds")
    if video is None:
        return MediaInfo(mime.replace("video/", "audio/"), "audio", duration_s=duration_s, has_audio=True)
    return _clip(video, MediaInfo(mime, "video", duration_s=duration_s, has_audio=audio is not None))


def _clip(video: list[str], clip: MediaInfo) -> MediaInfo:
    _, width, height, rotated, fps = map(_number, video)
    if not 0 < width * height <= MAX_PIXELS:
        raise _invalid(f"a {clip.mime} file of {width:,.0f} x {height:,.0f} pixels a frame")
    rotation = round(rotated) % 360
    if rotation in {90, 270}:
        width, height = height, width
    return replace(clip, width=round(width), height=round(height), fps=fps or None, rotation=rotation)


def _parsed(file: BinaryIO) -> list[list[str]]:
    """A list for each stream, of its kind and what `_ASKED` asks of that kind.

    Only numbers are asked for: a file's title can say nothing here. (They also cost half of a whole report.)
    """
    from pymediainfo import MediaInfo as Parser  # noqa: PLC0415  # loads a shared library

    told = Parser.parse(file, output=_ASKED)
    return [line.split("|") for line in told.splitlines() if line]


def _number(text: str) -> float:
    """0 for what is not there. Raises ValueError for what is no number."""
    value = float(text or 0)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number of anything")
    return value


def _invalid(what: str) -> PermanentError:
    return PermanentError(f"The file is {what}.", code="media_invalid")
