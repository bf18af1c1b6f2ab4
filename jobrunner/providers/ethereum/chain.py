"""What is asked of a chain, as typed questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jobrunner.errors import PermanentError, TransientError
from jobrunner.providers.ethereum.abi import OWNER_OF, TOKEN_OF, WORD, call
from jobrunner.providers.ethereum.fees import GWEI, Fees, offered
from jobrunner.providers.ethereum.ledger import Order
from jobrunner.providers.ethereum.refusals import Refused
from jobrunner.providers.ethereum.rpc import Rpc, quantity
from jobrunner.settings.tables import Mint

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak of Transfer(address,address,uint256). ERC-20 has the same, with one topic less."""
_TRANSFER_TOPICS = 4
_NOBODY = "0x" + "0" * 64
_GAS_MARGIN = Decimal("1.2")
_WORD_CHARS = 2 + 2 * WORD


@dataclass(frozen=True, slots=True)
class Token:
    """`id` is a decimal string: its 256 bits fit into no JSON number."""

    id: str
    owner: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction in a block. `depth` counts the blocks from that one to the newest, both included."""

    hash: str
    block: int
    depth: int
    good: bool
    fields: Mapping[str, Any]

    @property
    def gas_used(self) -> int:
        return quantity(self.fields.get("gasUsed"))

    @property
    def contract(self) -> str | None:
        """What it created."""
        return self.fields.get("contractAddress")

    def minted(self, order: Order) -> Token | None:
        """The token that it made in the order's contract."""
        for log in self.fields.get("logs") or ():
            topics: Sequence[str] = log.get("topics") or ()
            here = str(log.get("address")).lower() == str(order.to).lower()
            if here and len(topics) == _TRANSFER_TOPICS and topics[0] == TRANSFER and topics[1] == _NOBODY:
                return Token(str(int(topics[3], 16)), _address(topics[2]))
        return None


class Chain:
    def __init__(self, rpc: Rpc, settings: Mint) -> None:
        self._rpc = rpc
        self._settings = settings
        self._cap = Fees(int(settings.max_fee_gwei * GWEI), int(settings.max_priority_fee_gwei * GWEI))

    @property
    def cap(self) -> Fees:
        """The most that settings allow."""
        return self._cap

    async def check(self) -> tuple[int, str]:
        """The chain's id, and the hash of its block 0. Raises PermanentError where settings name another chain."""
        chain_id = await self._rpc.number("eth_chainId")
        if chain_id != self._settings.chain_id:
            raise PermanentError(
                f"The node at `providers.ethereum.base_url` is on chain {chain_id}, but `mint.chain_id` is "
                f"{self._settings.chain_id}: correct one of them.",
                code="wrong_chain",
                provider="ethereum",
            )
        return chain_id, str((await self.block("0x0"))["hash"])

    async def block(self, number: str) -> Mapping[str, Any]:
        """Its header. Raises TransientError where the node does not have it (yet)."""
        found = await self._rpc.ask("eth_getBlockByNumber", number, False)  # noqa: FBT003  # hashes, not transactions
        if not isinstance(found, Mapping) or not isinstance(found.get("hash"), str):
            raise TransientError(f"ethereum: the node does not show block {number}.", provider="ethereum")
        return found

    async def offer(self) -> Fees | None:
        """What a transaction should offer now; None while that is more than settings allow."""
        base_wei = quantity((await self.block("latest")).get("baseFeePerGas"))
        return offered(base_wei, await self._rpc.number("eth_maxPriorityFeePerGas"), self._cap)

    async def fees(self) -> Fees:
        """What a transaction should offer now. Raises TransientError while that is more than settings allow."""
        fees = await self.offer()
        if fees is None:
            message = f"Gas costs more now than `mint.max_fee_gwei` allows ({self._settings.max_fee_gwei:g} gwei)."
            raise TransientError(message, code="fee_too_high", provider="ethereum")
        return fees

    async def gas(self, sender: str, order: Order) -> int:
        """What the order needs, and a fifth more. Raises Refused with its reason where it would revert."""
        fields = {"from": sender, "data": order.data} | ({} if order.to is None else {"to": order.to})
        return int(await self._rpc.number("eth_estimateGas", fields) * _GAS_MARGIN)

    async def nonce(self, address: str, at: str) -> int:
        """How many transactions the account has sent, up to a block (0x-hex), "latest", or "pending" ones too."""
        return await self._rpc.number("eth_getTransactionCount", address, at)

    async def send(self, raw: str) -> None:
        await self._rpc.ask("eth_sendRawTransaction", raw)

    async def knows(self, transaction: str) -> bool:
        return await self._rpc.ask("eth_getTransactionByHash", transaction) is not None

    async def head(self) -> int:
        return await self._rpc.number("eth_blockNumber")

    async def receipt(self, transaction: str) -> Receipt | None:
        """None also where its block is no longer part of the chain."""
        fields = await self._rpc.ask("eth_getTransactionReceipt", transaction)
        if not isinstance(fields, Mapping) or fields.get("blockNumber") is None:
            return None
        block, head = quantity(fields["blockNumber"]), await self.head()
        if head < block or (await self.block(hex(block)))["hash"] != fields.get("blockHash"):
            return None
        return Receipt(transaction, block, head - block + 1, quantity(fields.get("status")) == 1, fields)

    async def token_of(self, order: Order) -> Token | None:
        """The token that was minted under the order's key; None where there is none, or no way to ask."""
        try:
            found = await self._view(order, call(TOKEN_OF, [order.key]))
            if len(found) != _WORD_CHARS or not quantity(found):
                return None
            id = str(quantity(found))
            return Token(id, _address(await self._view(order, call(OWNER_OF, [id]))))
        except Refused:
            return None

    async def _view(self, order: Order, data: str) -> str:
        return str(await self._rpc.ask("eth_call", {"to": order.to, "data": data}, "latest"))


def _address(word: str) -> str:
    return "0x" + word[-40:]
