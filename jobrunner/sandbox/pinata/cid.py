"""The name of a file's content on IPFS, as Kubo and Pinata work it out for CIDv1.

A file of one chunk is a raw block; a larger one is a balanced tree of UnixFS nodes in dag-pb over raw chunks.
https://github.com/multiformats/cid, https://specs.ipfs.tech/unixfs/, https://ipld.io/specs/codecs/dag-pb/spec/
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

CHUNK_BYTES: Final = 262_144
MAX_LINKS: Final = 174
_RAW: Final = 0x55
_DAG_PB: Final = 0x70
_SHA2_256: Final = b"\x12\x20"
"""The multihash's head: which hash, and that it is 32 bytes long."""
_UNIXFS_FILE: Final = 2


@dataclass(frozen=True, slots=True)
class _Node:
    """`file_bytes` of the file are under it; `total_bytes` are these and all nodes that lead to them."""

    cid: bytes
    file_bytes: int
    total_bytes: int


def cid(chunks: Iterable[bytes]) -> str:
    """Of a file that comes in chunks of CHUNK_BYTES, the last one shorter."""
    level = [_Node(_cid(_RAW, chunk), len(chunk), len(chunk)) for chunk in chunks] or [_Node(_cid(_RAW, b""), 0, 0)]
    while len(level) > 1:
        level = [_parent(level[at : at + MAX_LINKS]) for at in range(0, len(level), MAX_LINKS)]
    return "b" + base64.b32encode(level[0].cid).decode().lower().rstrip("=")


def _cid(codec: int, block: bytes) -> bytes:
    return bytes([1, codec]) + _SHA2_256 + hashlib.sha256(block).digest()


def _parent(children: Sequence[_Node]) -> _Node:
    """In dag-pb the links stand before the data, whatever their field numbers say."""
    file_bytes = sum(child.file_bytes for child in children)
    sizes = b"".join(_number(4, child.file_bytes) for child in children)
    data = _number(1, _UNIXFS_FILE) + _number(3, file_bytes) + sizes
    block = b"".join(_field(2, _link(child)) for child in children) + _field(1, data)
    total_bytes = len(block) + sum(child.total_bytes for child in children)
    return _Node(_cid(_DAG_PB, block), file_bytes, total_bytes)


def _link(child: _Node) -> bytes:
    """It has a name, which is empty."""
    return _field(1, child.cid) + _field(2, b"") + _number(3, child.total_bytes)


def _field(number: int, value: bytes) -> bytes:
    """Protobuf: a field of bytes."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    """Protobuf: a field that is a number."""
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:  # noqa: PLR2004  # seven bits a byte
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
