"""Pictures out of a JSON answer without holding them: `{"data": [{"b64_json": "iVBORw0..."}]}`.

A 4K picture is up to 30 MB and its base64 a third more; parsing and decoding at once would hold several copies of
each. So the body lies in a file, mapped, and every long string is decoded in blocks into a file of its own.
"""

import binascii
import mmap
import os
import re
import tempfile
from pathlib import Path

from jobrunner.providers.answers import JSON_BYTES, BadAnswer

BLOCK_BYTES = 256 * 1024

_START = re.compile(rb'"b64_json"\s*:\s*"')
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))")
_ESCAPE_BYTES = 6
_LINE_ENDS = {b"n": b"", b"r": b""}


def extract(body: Path, into: Path) -> tuple[bytes, list[Path]]:
    """The JSON in `body` with each `b64_json` emptied, and what they held as new files in `into`, in order.

    Blocking: call it in a thread. Raises BadAnswer, leaving no file, if a string is cut or no base64.
    """
    if not body.stat().st_size:
        raise BadAnswer("an empty answer")
    files: list[Path] = []
    try:
        with body.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return _walk(text, into, files), files
    except BaseException:
        for path in files:
            path.unlink(missing_ok=True)
        raise


def _walk(text: mmap.mmap, into: Path, files: list[Path]) -> bytes:
    rest, at = bytearray(), 0
    while match := _START.search(text, at):
        rest += text[at : match.end()]
        at = text.find(b'"', match.end())
        if at < 0:
            raise BadAnswer("an answer that ends within a picture")
        files.append(_new_file(into))
        _decode(text, match.end(), at, files[-1])
    if len(rest) + len(text) - at > JSON_BYTES:
        raise BadAnswer(f"an answer with more than {JSON_BYTES:,} bytes beside its pictures")
    return bytes(rest + text[at:])


def _new_file(into: Path) -> Path:
    handle, name = tempfile.mkstemp(dir=into, prefix="b64-")
    os.close(handle)
    return Path(name)


def _decode(text: mmap.mmap, start: int, end: int, into: Path) -> None:
    """Decode text[start:end] block by block; what a block cannot decide alone waits for the next one."""
    raw, quads = b"", b""
    with into.open("wb") as file:
        for at in range(start, end, BLOCK_BYTES):
            last = at + BLOCK_BYTES >= end
            raw += text[at : min(at + BLOCK_BYTES, end)]
            escape = -1 if last else raw.rfind(b"\\", len(raw) - _ESCAPE_BYTES + 1)
            ready, raw = (raw, b"") if escape < 0 else (raw[:escape], raw[escape:])
            quads += _unescaped(ready)
            whole = len(quads) if last else len(quads) // 4 * 4
            try:
                file.write(binascii.a2b_base64(quads[:whole] + b"=" * (-whole % 4), strict_mode=True))
            except binascii.Error as error:
                raise BadAnswer(f"a picture that is no base64: {error}") from None
            quads = quads[whole:]


def _unescaped(part: bytes) -> bytes:
    r"""Undo what JSON encoders do to base64: `\/` (PHP), `\u002B` (.NET), `\n` (line-wrapped MIME)."""
    if b"\\" not in part:
        return part
    try:
        return _ESCAPE.sub(
            lambda found: bytes([int(found[1], 16)]) if found[1] else _LINE_ENDS.get(found[2], found[2]), part
        )
    except ValueError:
        raise BadAnswer("a picture whose base64 holds a letter that is none") from None
