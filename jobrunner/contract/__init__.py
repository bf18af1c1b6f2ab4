"""The sample NFT contract: its source, and what the compiler made of it. A test compiles it again and compares.

`collection.json` holds `abi`, `bytecode` (0x-hex, to be followed by the ABI-encoded name and symbol) and `compiler`.
"""

import functools
import json
from importlib.resources import files
from typing import Any


def source() -> str:
    """Vyper."""
    return files(__name__).joinpath("collection.vy").read_text(encoding="utf-8")


def abi() -> list[dict[str, Any]]:
    return list(_compiled()["abi"])


def bytecode() -> bytes:
    """What deploys it."""
    return bytes.fromhex(_compiled()["bytecode"].removeprefix("0x"))


@functools.cache
def _compiled() -> dict[str, Any]:
    return dict(json.loads(files(__name__).joinpath("collection.json").read_text(encoding="utf-8")))
