"""Pictures, by their headers and ends. No decoder, no Pillow.

`image_info` reads headers and the end of the file, so it catches what a cut download leaves behind without
decoding a pixel. Synchronous: call it in a thread. Formats: PNG (W3C PNG 3), JPEG (ITU T.81), WebP (RFC 9649),
GIF89a.
"""

import os
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from jobrunner.errors import PermanentError

MAX_PIXELS = 100_000_000
"""A picture of more is taken for a decompression bomb; 4K is 8.3 million."""

_MAX_PARTS = 100_000
"""Chunks or segments looked at: a file made of a million empty ones keeps no thread busy."""

_PNG = b"\x89PNG\r\n\x1a\n"
PICTURES = (
    (re.compile(re.escape(_PNG)), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
)
_JPEG_FRAMES = frozenset(bytes([code]) for code in range(0xC0, 0xD0)) - {b"\xc4", b"\xc8", b"\xcc"}
"""SOF markers, which carry the size; the three taken out are Huffman, reserved and arithmetic tables."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """`width` and `height` in pixels."""

    mime: str
    width: int
    height: int


def image_info(path: Path) -> ImageInfo:
    """Type and size of the whole, untruncated image at `path`.

    Raises PermanentError `media_invalid` for anything else.
    """
    with path.open("rb") as file:
        return picture(file)


def picture(file: BinaryIO) -> ImageInfo:
    """`image_info` of an open file."""
    file.seek(0)
    head = file.read(16)
    mime = next((mime for magic, mime in PICTURES if magic.match(head)), None)
    if mime is None:
        _invalid("not a PNG, JPEG, WebP or GIF picture")
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        width, height = _READERS[mime](file, size)
    except struct.error:
        _invalid(f"a {mime} file that was cut short")
    if not (width and height):
        _invalid(f"a {mime} file of {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        _invalid(f"{width} x {height} pixels, which is more than {MAX_PIXELS:,}")
    return ImageInfo(mime, width, height)


def _invalid(what: str) -> NoReturn:
    raise PermanentError(f"The file is {what}.", code="media_invalid")


def _png(file: BinaryIO, size: int) -> tuple[int, int]:
    """Walk the chunks to IEND; check IHDR's CRC, since it alone decides how much a decoder allocates."""
    file.seek(len(_PNG))
    header = file.read(25)
    length, kind, width, height = struct.unpack_from(">I4sII", header)
    if kind != b"IHDR" or struct.unpack_from(">I", header, 21)[0] != zlib.crc32(header[4:21]):
        _invalid("a PNG file with a damaged header")
    at, data = len(_PNG) + 12 + length, False
    for _ in range(_MAX_PARTS):
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        at += 12 + length
        data |= kind == b"IDAT"
        if at > size:
            _invalid("a PNG file that was cut short")
        if kind == b"IEND" and data:
            return width, height
    _invalid("a PNG file without a picture in it")


def _jpeg(file: BinaryIO, size: int) -> tuple[int, int]:
    """Walk the segments to the frame header, then look for the end marker (padding may follow it)."""
    at = 2
    for _ in range(_MAX_PARTS):
        file.seek(at)
        fill, marker = file.read(1), file.read(1)
        if fill != b"\xff" or marker in (b"", b"\xd9", b"\xda"):
            break
        if marker == b"\xff":
            at += 1
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">xHH", file.read(5))
            file.seek(max(at, size - 4096))
            if b"\xff\xd9" not in file.read():
                _invalid("a JPEG file that was cut short")
            return width, height
        at += 2 + length
    _invalid("a JPEG file without a frame header")


def _webp(file: BinaryIO, size: int) -> tuple[int, int]:
    """The size stands in the first chunk, packed differently in each of the three kinds of WebP."""
    header = file.read(30)
    riff, kind, length = struct.unpack("<4xI4x4sI", header[:20])
    if riff + 8 > size or length + 20 > size:
        _invalid("a WebP file that was cut short")
    if kind == b"VP8X":
        _, width, height = struct.unpack_from("<I3s3s", header, 20)
        return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    if kind == b"VP8L":
        bits: int
        (bits,) = struct.unpack_from("<xI", header, 20)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        start, width, height = struct.unpack_from("<3x3sHH", header, 20)
        if start != b"\x9d\x01\x2a":
            _invalid("a WebP file with a damaged header")
        return width & 0x3FFF, height & 0x3FFF
    _invalid("a WebP file of an unknown kind")


def _gif(file: BinaryIO, size: int) -> tuple[int, int]:
    width, height = struct.unpack("<6xHH", file.read(10))
    file.seek(max(10, size - 64))
    if not file.read().rstrip(b"\0").endswith(b"\x3b"):
        _invalid("a GIF file that was cut short")
    return width, height


_READERS: Mapping[str, Callable[[BinaryIO, int], tuple[int, int]]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/webp": _webp,
    "image/gif": _gif,
}
