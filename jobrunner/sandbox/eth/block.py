"""Blocks as they come from the EVM, and as they are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Block:
    """`shown` is what eth_getBlockByNumber answers; `next_base_fee` is the following block's, in wei a gas."""

    shown: Mapping[str, Any]
    next_base_fee: int

    @property
    def number(self) -> int:
        return int(self.shown["number"], 16)

    @property
    def hash(self) -> str:
        return str(self.shown["hash"])

    @property
    def timestamp(self) -> int:
        return int(self.shown["timestamp"], 16)

    @property
    def base_fee(self) -> int:
        return int(self.shown["baseFeePerGas"], 16)

    @property
    def gas_limit(self) -> int:
        return int(self.shown["gasLimit"], 16)

    @property
    def fullness(self) -> float:
        """0..1 of its gas limit."""
        return int(self.shown["gasUsed"], 16) / self.gas_limit


@dataclass(frozen=True, slots=True)
class Mined:
    """A new block. `nodes` are the EVM's and to be kept; `unfit` transactions were left out, by hash."""

    block: Block
    transactions: Sequence[Mapping[str, Any]]
    receipts: Sequence[Mapping[str, Any]]
    nodes: Mapping[bytes, bytes]
    unfit: Sequence[str]
