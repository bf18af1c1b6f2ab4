"""Files are what their bytes say, whole or refused. The pictures here are made of headers alone."""

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobrunner.errors import PermanentError
from jobrunner.media import sniff
from jobrunner.media.pictures import ImageInfo, image_info
from tests.hostile.pictures import chunk, gif, jpeg, png, webp_extended, webp_lossless, webp_lossy

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
