"""The JSON-RPC methods that development nodes have, https://ethereum.github.io/execution-apis.

Not spoken: subscriptions and filters, traces, proofs, access lists, blob and set-code transactions. The newest
block is also what `pending`, `safe` and `finalized` name, as at Hardhat's.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from jobrunner.sandbox.eth import journal
from jobrunner.sandbox.eth.accounts import CHAIN_ID
from jobrunner.sandbox.eth.block import Block
from jobrunner.sandbox.eth.chain import TIP_WEI, Chain, Exchange
from jobrunner.sandbox.eth.rpc import RpcError, data, invalid, number, octets, quantity, refused
from jobrunner.sandbox.eth.transaction import MAX_GAS, Call, Fees
from jobrunner.sandbox.state import State

CREATES: Final = frozenset({"eth_sendRawTransaction", "eth_sendTransaction"})
MAX_HISTORY: Final = 1024
NEWEST: Final = frozenset({"latest", "pending", "safe", "finalized"})
Params = Sequence[Any]


class Methods:
    def __init__(self, state: State, chain: Chain) -> None:
        self._db, self._chain = state.db, chain
        self._methods: dict[str, Callable[[Params, Exchange], Awaitable[object]]] = {
            "web3_clientVersion": _constant("jobrunner-sandbox/py-evm"),
            "net_version": _constant(str(CHAIN_ID)),
            "eth_chainId": _constant(quantity(CHAIN_ID)),
            "eth_syncing": _constant(False),  # noqa: FBT003  # the answer itself
            "eth_maxPriorityFeePerGas": _constant(quantity(TIP_WEI)),
            "eth_accounts": self.accounts,
            "eth_blockNumber": self.block_number,
            "eth_gasPrice": self.gas_price,
            "eth_feeHistory": self.fee_history,
            "eth_getBalance": self.balance,
            "eth_getCode": self.code,
            "eth_getTransactionCount": self.transaction_count,
            "eth_call": self.call,
            "eth_estimateGas": self.estimate_gas,
            "eth_sendRawTransaction": self.send_raw,
            "eth_sendTransaction": self.send,
            "eth_getTransactionByHash": self.transaction,
            "eth_getTransactionReceipt": self.receipt,
            "eth_getBlockByNumber": self.block_by_number,
            "eth_getBlockByHash": self.block_by_hash,
            "eth_getLogs": self.logs,
            "evm_mine": self.mine,
        }

    async def answer(self, method: str, params: Params, exchange: Exchange) -> object:
        """The method's result. Raises RpcError."""
        found = self._methods.get(method)
        if found is None:
            raise RpcError(-32601, f"the method {method} does not exist/is not available")
        return await found(params, exchange)

    async def accounts(self, _params: Params, _exchange: Exchange) -> object:
        return await self._chain.ask(lambda evm: [evm.shown(account) for account in evm.accounts])

    async def block_number(self, _params: Params, _exchange: Exchange) -> object:
        return quantity(self._chain.head.number)

    async def gas_price(self, _params: Params, _exchange: Exchange) -> object:
        return quantity(self._chain.head.next_base_fee + TIP_WEI)

    async def fee_history(self, params: Params, _exchange: Exchange) -> object:
        count, last = max(1, min(number(_at(params, 0)), MAX_HISTORY)), self._named(_at(params, 1), 1)
        percentiles = params[2] if len(params) > 2 and params[2] else []  # noqa: PLR2004
        blocks = [self._number(each) for each in range(max(0, last.number - count + 1), last.number + 1)]
        history: dict[str, Any] = {
            "oldestBlock": quantity(blocks[0].number),
            "baseFeePerGas": [quantity(each.base_fee) for each in blocks] + [quantity(last.next_base_fee)],
            "gasUsedRatio": [each.fullness for each in blocks],
        }
        if percentiles:
            history["reward"] = [self._rewards(each, percentiles) for each in blocks]
        return history

    async def balance(self, params: Params, _exchange: Exchange) -> object:
        address, at = _address(params), self._named(_at(params, 1, "latest"), 1).hash
        return quantity(await self._chain.ask(lambda evm: evm.balance(address, at)))

    async def code(self, params: Params, _exchange: Exchange) -> object:
        address, at = _address(params), self._named(_at(params, 1, "latest"), 1).hash
        return data(await self._chain.ask(lambda evm: evm.code(address, at)))

    async def transaction_count(self, params: Params, _exchange: Exchange) -> object:
        address, named = _address(params), _at(params, 1, "latest")
        if named == "pending":
            return quantity(await self._chain.next_nonce(address))
        at = self._named(named, 1).hash
        return quantity(await self._chain.ask(lambda evm: evm.nonce(address, at)))

    async def call(self, params: Params, _exchange: Exchange) -> object:
        call, at = _call(params), self._priced(params)
        return data(await self._chain.ask(lambda evm: evm.call(call, at)))

    async def estimate_gas(self, params: Params, _exchange: Exchange) -> object:
        call, at = _call(params), self._priced(params)
        return quantity(await self._chain.ask(lambda evm: evm.estimate(call, at)))

    async def send_raw(self, params: Params, exchange: Exchange) -> object:
        return await self._chain.send(octets(_at(params, 0)), exchange)

    async def send(self, params: Params, exchange: Exchange) -> object:
        order, call = _object(params), _call(params)
        gas, nonce = (number(order[name]) if name in order else None for name in ("gas", "nonce"))
        return await self._chain.send_from(call, exchange, nonce=nonce, gas=gas, fees=_fees(order))

    async def transaction(self, params: Params, _exchange: Exchange) -> object:
        return journal.transaction(self._db, _hash(params))

    async def receipt(self, params: Params, _exchange: Exchange) -> object:
        return journal.receipt(self._db, _hash(params))

    async def block_by_number(self, params: Params, _exchange: Exchange) -> object:
        named = _at(params, 0)
        if isinstance(named, str) and named.startswith("0x") and number(named) > self._chain.head.number:
            return None
        return self._shown(self._named(named, 0), params)

    async def block_by_hash(self, params: Params, _exchange: Exchange) -> object:
        block = journal.block_of(self._db, _hash(params))
        return None if block is None else self._shown(block, params)

    async def logs(self, params: Params, _exchange: Exchange) -> object:
        wanted = _object(params)
        if "blockHash" in wanted:
            first = last = self._named({"blockHash": wanted["blockHash"]}, 0)
        else:
            first = self._named(wanted.get("fromBlock") or "latest", 0)
            last = self._named(wanted.get("toBlock") or "latest", 0)
        receipts = journal.receipts(self._db, first.number, last.number)
        return [log for receipt in receipts for log in receipt["logs"] if _matches(log, wanted)]

    async def mine(self, _params: Params, _exchange: Exchange) -> object:
        await self._chain.mine()
        return "0x0"

    def _number(self, wanted: int) -> Block:
        block = journal.block(self._db, wanted)
        if block is None:
            raise refused("header not found")
        return block

    def _named(self, name: object, position: int) -> Block:
        """By tag, number, or as EIP-1898 has it. Raises RpcError."""
        match name:
            case {"blockHash": wanted}:
                block = journal.block_of(self._db, data(octets(wanted, position)))
                if block is None:
                    raise refused("header for hash not found")
                return block
            case {"blockNumber": numbered}:
                return self._number(number(numbered, position))
            case "earliest":
                return self._number(0)
            case str() if name in NEWEST:
                return self._chain.head
        return self._number(number(name, position))

    def _priced(self, params: Params) -> str:
        """The hash of the block that a call is about. Raises RpcError if it offers less than that block's base fee."""
        block, fees = self._named(_at(params, 1, "latest"), 1), _fees(_object(params))
        if fees is not None and 0 < fees.max_fee < block.base_fee:
            raise refused(
                f"max fee per gas less than block base fee: address {_object(params).get('from')},"
                f" maxFeePerGas: {fees.max_fee}, baseFee: {block.base_fee}"
            )
        return block.hash

    def _shown(self, block: Block, params: Params) -> Mapping[str, Any]:
        """With whole transactions, if that is asked for."""
        if not _at(params, 1, False):  # noqa: FBT003  # the default of a JSON value
            return block.shown
        whole = [journal.transaction(self._db, each) for each in block.shown["transactions"]]
        return {**block.shown, "transactions": whole}

    def _rewards(self, block: Block, percentiles: Sequence[float]) -> list[str]:
        """The tips, in wei a gas, that were paid up to each percentile of the block's gas; 0 where there was none."""
        paid = sorted(
            (int(receipt["effectiveGasPrice"], 16) - block.base_fee, int(receipt["gasUsed"], 16))
            for receipt in journal.receipts(self._db, block.number, block.number)
        )
        total, rewards = sum(gas for _, gas in paid), []
        for percentile in percentiles:
            reached, reward = 0, 0
            for reward, gas in paid:  # noqa: B007  # the last one looked at is the answer
                reached += gas
                if reached >= total * percentile / 100:
                    break
            rewards.append(quantity(reward))
        return rewards


def _constant(value: object) -> Callable[[Params, Exchange], Awaitable[object]]:
    async def answer(_params: Params, _exchange: Exchange) -> object:
        return value

    return answer


def _at(params: Params, position: int, default: object = None) -> Any:
    if position < len(params) and params[position] is not None:
        return params[position]
    if default is None:
        raise RpcError(-32602, f"missing value for required argument {position}")
    return default


def _address(params: Params) -> bytes:
    return octets(_at(params, 0), length=20)


def _hash(params: Params) -> str:
    return data(octets(_at(params, 0), length=32))


def _object(params: Params) -> Mapping[str, Any]:
    found = _at(params, 0)
    if not isinstance(found, dict):
        raise invalid(0, "json: cannot unmarshal non-object into Go value")
    return found


def _call(params: Params) -> Call:
    order = _object(params)
    input = order.get("input") or order.get("data") or "0x"
    to = order.get("to")
    return Call(
        octets(order["from"], length=20) if order.get("from") else bytes(20),
        octets(to, length=20) if to else b"",
        number(order.get("value") or "0x0"),
        octets(input),
        min(number(order["gas"]), MAX_GAS) if order.get("gas") else MAX_GAS,
    )


def _fees(order: Mapping[str, Any]) -> Fees | None:
    if order.get("gasPrice"):
        return Fees(number(order["gasPrice"]), number(order["gasPrice"]))
    if order.get("maxFeePerGas"):
        return Fees(number(order["maxFeePerGas"]), number(order.get("maxPriorityFeePerGas") or quantity(TIP_WEI)))
    return None


def _matches(log: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """A filter's topics: each is null for any, one topic, or a list of those that will do."""
    addresses = _listed(wanted.get("address"))
    if addresses and log["address"].lower() not in addresses:
        return False
    asked = [_listed(topic) for topic in wanted.get("topics") or []]
    if len(asked) > len(log["topics"]):
        return False
    return all(not any_of or topic in any_of for any_of, topic in zip(asked, log["topics"], strict=False))


def _listed(value: str | Sequence[str] | None) -> list[str]:
    return [each.lower() for each in ([value] if isinstance(value, str) else value or [])]
