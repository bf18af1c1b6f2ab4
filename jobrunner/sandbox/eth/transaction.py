"""A signed transaction as the pool sees it, and the pool's two decisions: who may enter, and who is mined next."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobrunner.sandbox.eth.accounts import CHAIN_ID
from jobrunner.sandbox.eth.rpc import refused

BUMP_PERCENT: Final = 10
"""By how much both fees of a replacement must be higher (geth's txpool.pricebump)."""
MAX_GAS: Final = 16_777_216
"""Of one transaction (EIP-7825)."""
MAX_BYTES: Final = 131_072


@dataclass(frozen=True, slots=True)
class Transaction:
    """`shown` is what eth_getTransactionByHash answers while it is pending; `fate` is the fault word it came with.

    `floor_gas` is the least that it could use; `ready_at` is the unix time before which it is not mined.
    """

    raw: bytes
    shown: Mapping[str, Any]
    floor_gas: int = 0
    fate: str = ""
    ready_at: float = 0.0

    @property
    def hash(self) -> str:
        return str(self.shown["hash"])

    @property
    def sender(self) -> str:
        return str(self.shown["from"])

    @property
    def nonce(self) -> int:
        return int(self.shown["nonce"], 16)

    @property
    def gas(self) -> int:
        return int(self.shown["gas"], 16)

    @property
    def max_fee(self) -> int:
        """Wei a gas; an older transaction's gas price is both of its fees."""
        return int(self.shown.get("maxFeePerGas", self.shown["gasPrice"]), 16)

    @property
    def tip(self) -> int:
        return int(self.shown.get("maxPriorityFeePerGas", self.shown["gasPrice"]), 16)

    @property
    def cost(self) -> int:
        """The most that it may take from its sender, in wei."""
        return int(self.shown["value"], 16) + self.gas * self.max_fee

    def outbids(self, other: "Transaction") -> bool:
        """Whether it may take the other's place."""
        enough = 100 + BUMP_PERCENT
        return 100 * self.max_fee >= enough * other.max_fee and 100 * self.tip >= enough * other.tip


@dataclass(frozen=True, slots=True)
class Call:
    """What is not signed yet, or never will be. Addresses are 20 bytes; an empty `to` creates a contract."""

    sender: bytes
    to: bytes
    value: int
    data: bytes
    gas: int = MAX_GAS


@dataclass(frozen=True, slots=True)
class Fees:
    """In wei a gas."""

    max_fee: int
    tip: int


def check(transaction: Transaction, *, nonce: int, balance: int, pending: Sequence[Transaction]) -> Transaction | None:
    """The one of the sender's `pending` that it replaces. Raises RpcError, in geth's words, if it may not enter.

    `nonce` and `balance` (wei) are the sender's in the newest block.
    """
    _check_form(transaction)
    if transaction.nonce < nonce:
        raise refused(f"nonce too low: next nonce {nonce}, tx nonce {transaction.nonce}")
    if any(other.hash == transaction.hash for other in pending):
        raise refused("already known")
    replaced = next((other for other in pending if other.nonce == transaction.nonce), None)
    queued = sum(other.cost for other in pending if other is not replaced)
    if balance < queued + transaction.cost:
        overshot = queued + transaction.cost - balance
        raise refused(
            f"insufficient funds for gas * price + value: balance {balance}, queued cost {queued},"
            f" tx cost {transaction.cost}, overshot {overshot}"
        )
    if replaced is not None and not transaction.outbids(replaced):
        raise refused("replacement transaction underpriced")
    return replaced


def _check_form(transaction: Transaction) -> None:
    """What is wrong with it whoever sent it, and whenever. Raises RpcError."""
    if len(transaction.raw) > MAX_BYTES:
        raise refused(f"oversized data: transaction size {len(transaction.raw)}, limit {MAX_BYTES}")
    chain = transaction.shown.get("chainId")
    if chain is None:
        raise refused("only replay-protected (EIP-155) transactions allowed over RPC")
    if int(chain, 16) != CHAIN_ID:
        raise refused(f"invalid sender: invalid chain id for signer: have {int(chain, 16)} want {CHAIN_ID}")
    if transaction.gas > MAX_GAS:
        raise refused(f"transaction gas limit too high (cap: {MAX_GAS}, tx: {transaction.gas})")
    if transaction.gas < transaction.floor_gas:
        raise refused(f"intrinsic gas too low: gas {transaction.gas}, minimum needed {transaction.floor_gas}")
    if transaction.tip > transaction.max_fee:
        raise refused(
            "max priority fee per gas higher than max fee per gas:"
            f" maxPriorityFeePerGas: {transaction.tip}, maxFeePerGas: {transaction.max_fee}"
        )
    if transaction.tip == 0:
        raise refused("transaction underpriced: gas tip cap 0, minimum needed 1")


def next_nonce(nonce: int, pending: Iterable[Transaction]) -> int:
    """The first nonce that neither a block nor the pool has used: a later one waits behind it."""
    taken = {transaction.nonce for transaction in pending}
    while nonce in taken:
        nonce += 1
    return nonce


def choose(
    pending: Iterable[Transaction], nonces: Mapping[str, int], *, base_fee: int, gas_limit: int, now: float
) -> list[Transaction]:
    """What goes into the next block, in order. `nonces` are the senders' in the newest block; fees are wei a gas."""
    expected, room, chosen = dict(nonces), gas_limit, []
    for transaction in sorted(pending, key=lambda each: each.nonce):
        mineable = transaction.max_fee >= base_fee and transaction.ready_at <= now and transaction.fate != "stuck"
        if mineable and transaction.nonce == expected[transaction.sender] and transaction.gas <= room:
            chosen.append(transaction)
            expected[transaction.sender] += 1
            room -= transaction.gas
    return chosen
