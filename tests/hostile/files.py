"""The corpus: files that somebody might send to do harm. All are made here; none is kept in the repository.

`STRANGE` are of no type that is kept (415). `HOSTILE` pass for one by their first bytes, and are refused (422).
`INERT` are of the type they pass for, whatever else they carry: they are kept, and served as that type.
"""

import random
import struct
import wave
from collections.abc import Callable, Mapping
from io import BytesIO

from tests.hostile.clips import box, mp4, nested, pointing
from tests.hostile.pictures import chunk, gif, jpeg, png, webp_extended, webp_lossless

Maker = Callable[[], bytes]

_SCRIPT = b"<script>alert(document.domain)</script>"
_HEADS = {
    "png": png()[:16],
    "jpeg": jpeg()[:4],
    "webp": webp_extended()[:16],
    "gif": gif()[:6],
    "mp4": mp4()[:16],
    "webm": b"\x1a\x45\xdf\xa3",
    "wav": b"RIFF\xff\xff\xff\xffWAVEfmt ",
    "mp3": b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
    "ogg": b"OggS\0\x02",
    "flac": b"fLaC\0\0\0\x22",
    "aac": b"\xff\xf1\x50\x80",
}

STRANGE: Mapping[str, Maker] = {
    "nothing": lambda: b"",
    "svg with a script": lambda: b'<svg xmlns="http://www.w3.org/2000/svg">' + _SCRIPT + b"</svg>",
    "html": lambda: b"<!doctype html>" + _SCRIPT,
    "xml of a billion laughs": lambda: b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><l>&b;</l>',
    "hls playlist": lambda: b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nfile:///etc/passwd\n",
    "hls playlist behind a mark": lambda: b"\xef\xbb\xbf#EXTM3U\nhttp://169.254.169.254/latest/meta-data/\n",
    "concat playlist": lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
    "dash manifest": lambda: b'<?xml version="1.0"?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>',
    "session description": lambda: b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5432 RTP/AVP 96\n",
    "pdf with a picture in it": lambda: b"%PDF-1.7\n" + jpeg(),
    "zip": lambda: b"PK\x03\x04" + bytes(26),
    "program": lambda: b"\x7fELF\x02\x01\x01" + bytes(9),
    "picture behind a byte": lambda: b"\n" + png(),
    "avi": lambda: b"RIFF\0\0\0\0AVI LIST" + bytes(64),
}

HOSTILE: Mapping[str, Maker] = {
    "png bomb": lambda: png(60_000, 60_000),
    "png of 4 billion columns": lambda: png(0xFFFFFFFF, 1_000),
    "jpeg bomb": lambda: jpeg(65_535, 65_535),
    "webp bomb": lambda: webp_lossless(16_384, 16_384),
    "gif bomb": lambda: gif(65_535, 65_535),
    "png without a picture": lambda: png(0, 0),
    "png that is a jpeg": lambda: png()[:8] + jpeg(),
    "png of chunks without end": lambda: png()[:33] + chunk(b"tEXt", b"") * 200_000,
    "png whose chunk is longer than the file": lambda: png()[:33] + struct.pack(">I", 0xFFFFFFFF) + b"IDAT",
    "jpeg of markers without end": lambda: jpeg()[:2] + b"\xff\xe1\0\2" * 200_000,
    "half a jpeg": lambda: jpeg()[: len(jpeg()) // 2],
    "gif that is a script": lambda: b"GIF89a/*" + bytes(4) + b"*/=alert(1)//",
    "clip of no time": lambda: mp4(duration=0),
    "clip of 49 days": lambda: mp4(duration=0xFFFFFFFF),
    "clip of 65,535 x 65,535 pixels": lambda: mp4(size=(65_535, 65_535)),
    "clip of no pixels": lambda: mp4(size=(0, 0)),
    "clip of a thousand streams": lambda: mp4(tracks=1000),
    "clip without its end": lambda: mp4()[:-200],
    "clip without a movie": lambda: mp4()[:20],
    "clip of boxes in boxes": lambda: mp4()[:20] + nested(b"moov", 20_000),
    "clip of metadata in metadata": lambda: mp4()[:20] + box(b"moov", nested(b"udta", 20_000)),
    "clip whose box is longer than any file": lambda: mp4()[:20] + b"\0\0\0\1moov" + b"\x7f" + b"\xff" * 7,
    "clip whose box is shorter than its header": lambda: mp4()[:20] + b"\0\0\0\4moov" * 1000,
    "clip that is another file": lambda: pointing(b"file:///etc/passwd"),
    "clip that is another server's": lambda: pointing(b"http://169.254.169.254/latest/meta-data/"),
    "playlist with a clip's first bytes": lambda: mp4()[:20] + STRANGE["hls playlist"](),
    "sound of no rate": lambda: _wav(rate=0),
    "sound of 4 GiB in 44 bytes": lambda: _wav()[:4] + b"\xff" * 4 + _wav()[8:40] + b"\xff" * 4,
    **{f"{name} and noise": lambda head=head: head + random.Random(1).randbytes(4000) for name, head in _HEADS.items()},  # type: ignore[misc]  # noqa: S311
    **{f"{name} and nothing": lambda head=head: head for name, head in _HEADS.items()},  # type: ignore[misc]
}

INERT: Mapping[str, tuple[Maker, str]] = {
    "png with a page behind it": (lambda: png() + b"<html>" + _SCRIPT, "image/png"),
    "png with a page inside": (lambda: png()[:33] + chunk(b"tEXt", b"Comment\0" + _SCRIPT) + png()[33:], "image/png"),
    "png with a zip behind it": (lambda: png() + b"PK\x05\x06" + bytes(18), "image/png"),
    "clip": (mp4, "video/mp4"),
    "clip with a page for a title": (lambda: mp4() + box(b"udta", box(b"name", _SCRIPT)), "video/mp4"),
}


def _wav(rate: int = 8000) -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 1, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    data = file.getvalue()
    return data[:24] + struct.pack("<II", rate, rate) + data[32:]
