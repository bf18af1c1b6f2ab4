"""The contract ABI, as far as minting needs it: calls of strings, addresses and 32-byte words, and why one reverted.

https://docs.soliditylang.org/en/latest/abi-spec.html; checksums: https://eips.ethereum.org/EIPS/eip-55
"""

import re
from collections.abc import Sequence

WORD = 32
ERROR = bytes.fromhex("08c379a0")
"""Of Error(string), as which compilers encode a reason."""
PANIC = bytes.fromhex("4e487b71")
"""Of Panic(uint256): a failed assertion, an overflow."""
TOKEN_OF, OWNER_OF = "token_of(bytes32)", "ownerOf(uint256)"

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def keccak(data: bytes) -> bytes:
    """Takes 0.1 s the first time, for its import; load the wallet first, which does that off the event loop."""
    from Crypto.Hash import keccak as hashes  # noqa: PLC0415  # only a process that mints loads it

    return hashes.new(data=data, digest_bits=256).digest()


def call(function: str, values: Sequence[str]) -> str:
    """`data` that calls `function`, e.g. `mint(address,string)`. Raises ValueError for a value that does not fit."""
    return "0x" + (keccak(function.encode())[:4] + encoded(types_of(function), values)).hex()


def types_of(function: str) -> list[str]:
    return function[function.index("(") + 1 : -1].split(",")


def encoded(types: Sequence[str], values: Sequence[str]) -> bytes:
    """Heads, then the strings that they point to. Addresses and words are 0x-hex; a uint256 is decimal."""
    heads, tails = bytearray(), bytearray()
    for type, value in zip(types, values, strict=True):
        match type:
            case "string":
                heads += _number(WORD * len(types) + len(tails))
                raw = value.encode()
                tails += _number(len(raw)) + raw + bytes(-len(raw) % WORD)
            case "address":
                heads += bytes(12) + bytes.fromhex(checked(value)[2:])
            case "bytes32":
                heads += bytes.fromhex(value.removeprefix("0x"))
            case "uint256":
                heads += _number(int(value))
            case _:
                raise ValueError(f"{type} is no type that is known here")
    return bytes(heads + tails)


def checked(address: str) -> str:
    """`address`, if it is one. Mixed case is a checksum: a typing error would send a token to nobody."""
    if _ADDRESS.fullmatch(address) is None:
        raise ValueError(f"{address!r} is no address: 0x and 40 hex digits")
    if address[2:] not in (address[2:].lower(), address[2:].upper()) and address != checksummed(address):
        raise ValueError(f"{address} is mistyped: its checksum, which its capital letters are, does not fit")
    return address


def checksummed(address: str) -> str:
    digits = address[2:].lower()
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit  # noqa: PLR2004  # EIP-55
        for digit, mark in zip(digits, marks, strict=False)
    )


def reason(data: object) -> str | None:
    """What a revert's `data` says, if it is a sentence or a panic."""
    try:
        raw = bytes.fromhex(str(data).removeprefix("0x"))
    except ValueError:
        return None
    body = raw[4:]
    if raw[:4] == PANIC and len(body) == WORD:
        return f"panic {int.from_bytes(body):#x}"
    if raw[:4] != ERROR or len(body) < 2 * WORD:
        return None
    length = int.from_bytes(body[WORD : 2 * WORD])
    return body[2 * WORD : 2 * WORD + length].decode(errors="replace")


def _number(value: int) -> bytes:
    return value.to_bytes(WORD)
