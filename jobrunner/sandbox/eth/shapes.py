"""What py-evm's blocks, transactions and receipts look like to a client, as geth shows them."""

from collections.abc import Sequence
from typing import Any, cast

import rlp
from eth.abc import BlockAPI, LogAPI, ReceiptAPI, SignedTransactionAPI
from eth.vm.forks.berlin.transactions import TypedTransaction
from eth.vm.forks.london.transactions import LondonLegacyTransaction
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from jobrunner.sandbox.eth.rpc import data, quantity


def transaction_shown(transaction: SignedTransactionAPI) -> dict[str, Any]:
    """A pending one: it is in no block."""
    typed = isinstance(transaction, TypedTransaction)
    shown: dict[str, Any] = {
        "blockHash": None,
        "blockNumber": None,
        "transactionIndex": None,
        "hash": data(transaction.hash),
        "type": quantity(transaction.type_id or 0) if typed else "0x0",
        "from": to_checksum_address(transaction.sender),
        "to": to_checksum_address(transaction.to) if transaction.to else None,
        "nonce": quantity(transaction.nonce),
        "value": quantity(transaction.value),
        "gas": quantity(transaction.gas),
        "input": data(transaction.data),
        "r": quantity(transaction.r),
        "s": quantity(transaction.s),
    }
    if transaction.chain_id is not None:
        shown["chainId"] = quantity(transaction.chain_id)
    if not typed:
        return {
            **shown,
            "gasPrice": quantity(transaction.gas_price),
            "v": quantity(cast("LondonLegacyTransaction", transaction).v),
        }
    parity = quantity(transaction.y_parity)
    shown |= {"accessList": _access_list(transaction), "v": parity, "yParity": parity}
    if transaction.type_id == 1:
        return {**shown, "gasPrice": quantity(transaction.gas_price)}
    return {
        **shown,
        "gasPrice": quantity(transaction.max_fee_per_gas),
        "maxFeePerGas": quantity(transaction.max_fee_per_gas),
        "maxPriorityFeePerGas": quantity(transaction.max_priority_fee_per_gas),
    }


def mined_shown(block: BlockAPI, index: int) -> dict[str, Any]:
    """The same in its block; its gas price is then what it paid."""
    price = _paid(block.transactions[index], block)
    return {**transaction_shown(block.transactions[index]), **_place(block, index), "gasPrice": quantity(price)}


def block_shown(block: BlockAPI) -> dict[str, Any]:
    """With its transactions' hashes."""
    header = block.header
    return {
        "number": quantity(header.block_number),
        "hash": data(header.hash),
        "parentHash": data(header.parent_hash),
        "timestamp": quantity(header.timestamp),
        "miner": to_checksum_address(header.coinbase),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "baseFeePerGas": quantity(_base_fee(block)),
        "size": quantity(len(rlp.encode(block))),
        "difficulty": quantity(header.difficulty),
        "extraData": data(header.extra_data),
        "logsBloom": data(header.bloom.to_bytes(256)),
        "mixHash": data(header.mix_hash),
        "nonce": data(header.nonce),
        "sha3Uncles": data(header.uncles_hash),
        "stateRoot": data(header.state_root),
        "transactionsRoot": data(header.transaction_root),
        "receiptsRoot": data(header.receipt_root),
        "transactions": [data(transaction.hash) for transaction in block.transactions],
        "uncles": [],
    }


def receipts_shown(block: BlockAPI, receipts: Sequence[ReceiptAPI]) -> list[dict[str, Any]]:
    """py-evm's receipts carry the gas used so far in the block, as the trie wants it."""
    shown: list[dict[str, Any]] = []
    used_before = logs_before = 0
    for index, (transaction, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
        logs = [_log(block, index, logs_before + place, log) for place, log in enumerate(receipt.logs)]
        shown.append(
            {
                **_place(block, index),
                "transactionHash": data(transaction.hash),
                "type": quantity(transaction.type_id or 0) if isinstance(transaction, TypedTransaction) else "0x0",
                "from": to_checksum_address(transaction.sender),
                "to": to_checksum_address(transaction.to) if transaction.to else None,
                "contractAddress": None if transaction.to else _created(transaction),
                "status": quantity(int.from_bytes(receipt.state_root)),
                "gasUsed": quantity(receipt.gas_used - used_before),
                "cumulativeGasUsed": quantity(receipt.gas_used),
                "effectiveGasPrice": quantity(_paid(transaction, block)),
                "logs": logs,
                "logsBloom": data(receipt.bloom.to_bytes(256)),
            }
        )
        used_before, logs_before = receipt.gas_used, logs_before + len(logs)
    return shown


def _log(block: BlockAPI, index: int, place: int, log: LogAPI) -> dict[str, Any]:
    return {
        **_place(block, index),
        "transactionHash": data(block.transactions[index].hash),
        "logIndex": quantity(place),
        "address": to_checksum_address(log.address),
        "topics": [data(topic.to_bytes(32)) for topic in log.topics],
        "data": data(log.data),
        "removed": False,
    }


def _place(block: BlockAPI, index: int) -> dict[str, Any]:
    header = block.header
    number = quantity(header.block_number)
    return {"blockHash": data(header.hash), "blockNumber": number, "transactionIndex": quantity(index)}


def _access_list(transaction: SignedTransactionAPI) -> list[dict[str, Any]]:
    return [
        {"address": to_checksum_address(address), "storageKeys": [data(slot.to_bytes(32)) for slot in slots]}
        for address, slots in transaction.access_list
    ]


def _created(transaction: SignedTransactionAPI) -> str:
    """Where the contract is that it deployed: the hash of its sender and nonce."""
    return to_checksum_address(keccak(rlp.encode([transaction.sender, transaction.nonce]))[-20:])


def _paid(transaction: SignedTransactionAPI, block: BlockAPI) -> int:
    """Wei a gas (EIP-1559); py-evm gives an older transaction's gas price for both of its fees."""
    tip, most = transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas
    return min(most, tip + _base_fee(block))


def _base_fee(block: BlockAPI) -> int:
    """Wei a gas; there has been one since London."""
    return block.header.base_fee_per_gas or 0
