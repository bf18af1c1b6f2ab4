"""MP4s made of headers alone (ISO/IEC 14496-12), and what can be wrong with one."""

import struct

TIMESCALE = 1000
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def mp4(*, tracks: int = 1, duration: int = 1000, size: tuple[int, int] = (64, 48), brand: bytes = b"isom") -> bytes:
    """`duration` in milliseconds, `size` in pixels. Its one second of pictures is 25 bytes, which nobody decodes."""
    movie = box(b"mvhd", struct.pack(">5I", 0, 0, 0, TIMESCALE, duration), struct.pack(">IH10x", 0x10000, 0x100))
    movie = box(b"mvhd", movie[8:], _MATRIX, bytes(24), struct.pack(">I", tracks + 1))
    all_tracks = b"".join(track(n + 1, duration, size) for n in range(tracks))
    head = box(b"ftyp", brand, bytes(4), brand)
    return head + box(b"mdat", bytes(25)) + box(b"moov", movie, all_tracks)


def track(number: int, duration: int, size: tuple[int, int]) -> bytes:
    header = struct.pack(">6I", 7, 0, 0, number, 0, duration) + bytes(16) + _MATRIX
    shown = struct.pack(">II", size[0] << 16, size[1] << 16)
    media = box(b"mdhd", struct.pack(">5I", 0, 0, 0, TIMESCALE, duration), bytes(4))
    handler = box(b"hdlr", bytes(8), b"vide", bytes(13))
    here = box(b"dinf", box(b"dref", struct.pack(">II", 0, 1), box(b"url ", struct.pack(">I", 1))))
    return box(
        b"trak",
        box(b"tkhd", header, shown),
        box(b"mdia", media, handler, box(b"minf", box(b"vmhd", bytes(12)), here, _samples(duration, size))),
    )


def _samples(duration: int, size: tuple[int, int]) -> bytes:
    entry = bytes(6) + struct.pack(">H16xHHIIIH", 1, *size, 0x480000, 0x480000, 0, 1) + bytes(32)
    return box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1), box(b"mp4v", entry + struct.pack(">Hh", 24, -1))),
        box(b"stts", struct.pack(">IIII", 0, 1, 25, duration // 25)),
        box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 25, 1)),
        box(b"stsz", struct.pack(">III", 0, 1, 25)),
        box(b"stco", struct.pack(">III", 0, 1, 28)),
    )


def nested(kind: bytes, levels: int) -> bytes:
    """A box in a box in a box. The outer sizes count the inner ones."""
    return b"".join(struct.pack(">I", 8 * (levels - n)) + kind for n in range(levels))


def pointing(to: bytes) -> bytes:
    """A QuickTime reference movie: it has no pictures, and says at which address a player finds them."""
    there = box(b"rdrf", bytes(4), b"url ", struct.pack(">I", len(to) + 1), to, b"\0")
    return box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"moov", box(b"rmra", box(b"rmda", there)))
