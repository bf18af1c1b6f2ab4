"""Files are what their bytes say, whole or refused. The pictures here are made of headers alone."""

import contextlib
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobrunner.errors import PermanentError
from jobrunner.media import sniff
from jobrunner.media.pictures import ImageInfo, image_info


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 3, height: int = 2) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 20)) + chunk(b"IEND", b"")


def jpeg(width: int = 3, height: int = 2) -> bytes:
    app0 = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0\1\1\0\0\1\0\1\0\0"
    frame = b"\xff\xff\xc2" + struct.pack(">HBHHB", 8, 8, height, width, 0)
    return b"\xff\xd8" + app0 + frame + b"\xff\xda\0\2" + b"\x12\xff\0\x34" * 50 + b"\xff\xd9"


def webp(kind: bytes, data: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_lossless(width: int = 3, height: int = 2) -> bytes:
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", width - 1 | height - 1 << 14) + b"\0" * 15)


def webp_extended(width: int = 3, height: int = 2) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp(b"VP8X", b"\0" * 4 + sizes + b"\0" * 10)


def webp_lossy(width: int = 3, height: int = 2) -> bytes:
    return webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + b"\0" * 10)


def gif(width: int = 3, height: int = 2) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0" * 80 + b"\x3b"


MAKERS: dict[str, list[Callable[..., bytes]]] = {
    "image/png": [png],
    "image/jpeg": [jpeg],
    "image/webp": [webp_lossless, webp_extended, webp_lossy],
    "image/gif": [gif],
}
ALL = [(mime, make) for mime, makers in MAKERS.items() for make in makers]


def info(path: Path, data: bytes) -> ImageInfo:
    path.write_bytes(data)
    return image_info(path)


@pytest.mark.parametrize(("mime", "make"), ALL)
def test_type_and_size_are_read(tmp_path: Path, mime: str, make: Callable[..., bytes]) -> None:
    assert info(tmp_path / "named.mp4", make(640, 480)) == ImageInfo(mime, 640, 480)
    assert sniff(make()[:16]) == mime


@pytest.mark.parametrize(("mime", "make"), ALL)
def test_a_cut_file_is_refused_wherever_it_was_cut(tmp_path: Path, mime: str, make: Callable[..., bytes]) -> None:
    whole = make()
    for length in range(len(whole)):
        with pytest.raises(PermanentError) as refused:
            info(tmp_path / "cut", whole[:length])
        assert refused.value.code == "media_invalid"


@pytest.mark.parametrize("make", [png, jpeg, webp_extended, gif])
def test_a_bomb_and_an_empty_picture_are_refused(tmp_path: Path, make: Callable[..., bytes]) -> None:
    with pytest.raises(PermanentError, match="100,000,000"):
        info(tmp_path / "bomb", make(60_000, 60_000))
    if make is not webp_extended:  # its size fields cannot say 0
        with pytest.raises(PermanentError, match="0 x 2"):
            info(tmp_path / "empty", make(0, 2))


def test_a_damaged_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="damaged header"):
        info(tmp_path / "png", png().replace(struct.pack(">I", 3), struct.pack(">I", 4), 1))


@pytest.mark.parametrize(
    "data",
    [b"", b"<html></html>", b"#EXTM3U\n", b"\xff\xd8\xff" + b"\xff" * 200_000, png()[:33] + chunk(b"tEXt", b"") * 1000],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(PermanentError) as refused:
        info(tmp_path / "file", data)
    assert refused.value.code == "media_invalid"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=st.sampled_from([make()[:size] for _, make in ALL for size in (8, 16, 30)]), tail=st.binary(max_size=200))
def test_any_bytes_are_told_or_refused(tmp_path: Path, head: bytes, tail: bytes) -> None:
    with contextlib.suppress(PermanentError):
        found = info(tmp_path / "file", head + tail)
        assert found.width > 0
        assert found.height > 0
