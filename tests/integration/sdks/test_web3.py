"""The official web3 package against the sandbox's chain, as it would be used with any development node."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from eth_account import Account
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.contract import AsyncContract
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError
from web3.types import TxReceipt

from jobrunner import contract
from jobrunner.sandbox.app import running
from jobrunner.sandbox.eth.accounts import CHAIN_ID, COLLECTION, DEV_KEYS

SIGNER, OTHER = (Account.from_key(key) for key in DEV_KEYS[:2])
URI = "ipfs://bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncWeb3[Any]]:
    provider = AsyncHTTPProvider(url)
    try:
        yield AsyncWeb3(provider)
    finally:
        await provider.disconnect()


@pytest.fixture
async def w3(tmp_path: Path) -> AsyncIterator[AsyncWeb3[Any]]:
    async with (
        running(tmp_path / "sandbox", speed=40.0) as sandbox,
        connected(f"{sandbox.base_url}/eth/test-key") as w3,
    ):
        yield w3


def collection(w3: AsyncWeb3[Any]) -> AsyncContract:
    return w3.eth.contract(address=w3.to_checksum_address(COLLECTION), abi=contract.abi())


def key(number: int) -> bytes:
    return number.to_bytes(32)


async def sent(w3: AsyncWeb3[Any], transaction: Mapping[str, Any], *, wait: bool = True) -> TxReceipt | None:
    """Sign it here, as the product does, and send the bytes."""
    signed = SIGNER.sign_transaction(dict(transaction))
    digest = await w3.eth.send_raw_transaction(signed.raw_transaction)
    assert digest == signed.hash
    return await w3.eth.wait_for_transaction_receipt(digest, timeout=30, poll_latency=0.01) if wait else None


async def transfer(w3: AsyncWeb3[Any], nonce: int, **fees: int) -> dict[str, Any]:
    """A wei to another account."""
    fees = fees or {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9}
    return {"to": OTHER.address, "value": 1, "gas": 21_000, "nonce": nonce, "chainId": CHAIN_ID, **fees}


async def test_the_node_says_who_it_is_and_who_has_money(w3: AsyncWeb3[Any]) -> None:
    assert await w3.is_connected()
    assert await w3.eth.chain_id == CHAIN_ID
    assert [*await w3.eth.accounts][:2] == [SIGNER.address, OTHER.address]
    assert await w3.eth.get_balance(OTHER.address) == 10_000 * 10**18
    assert await w3.eth.get_transaction_count(SIGNER.address) == 1
    assert await w3.eth.get_code(w3.to_checksum_address(COLLECTION))


async def test_an_unlocked_account_deploys(w3: AsyncWeb3[Any]) -> None:
    factory = w3.eth.contract(abi=contract.abi(), bytecode=contract.bytecode())
    digest = await factory.constructor("Own", "OWN").transact({"from": OTHER.address})
    receipt = await w3.eth.wait_for_transaction_receipt(digest, timeout=30, poll_latency=0.01)
    assert receipt["contractAddress"] is not None
    deployed = w3.eth.contract(address=receipt["contractAddress"], abi=contract.abi())
    assert await deployed.functions.owner().call() == OTHER.address
    assert await deployed.functions.name().call() == "Own"


async def test_a_signed_transaction_mints_and_its_log_has_the_token_id(w3: AsyncWeb3[Any]) -> None:
    tokens = collection(w3)
    mint = await tokens.functions.mint(OTHER.address, URI, key(7)).build_transaction(
        {"from": SIGNER.address, "nonce": await w3.eth.get_transaction_count(SIGNER.address, "pending")}
    )
    receipt = await sent(w3, mint)
    assert receipt is not None
    assert receipt["status"] == 1
    [event] = tokens.events.Transfer().process_receipt(receipt)
    assert (event["args"]["receiver"], event["args"]["token_id"]) == (OTHER.address, 1)
    assert await tokens.events.Transfer.get_logs(from_block=0, argument_filters={"token_id": 1}) == [event]
    assert await tokens.functions.tokenURI(1).call() == URI
    assert await tokens.functions.token_of(key(7)).call() == 1
    history = await w3.eth.fee_history(1, receipt["blockNumber"], [50])
    assert history["reward"] == [[receipt["effectiveGasPrice"] - history["baseFeePerGas"][0]]]
    block = await w3.eth.get_block(receipt["blockNumber"], full_transactions=True)
    [mined] = block["transactions"]
    assert isinstance(mined, Mapping)
    assert (mined["hash"], block["hash"]) == (receipt["transactionHash"], receipt["blockHash"])


async def test_a_used_key_is_refused_with_its_reason(w3: AsyncWeb3[Any]) -> None:
    mint = collection(w3).functions.mint(OTHER.address, URI, key(8))
    digest = await mint.transact({"from": SIGNER.address})
    await w3.eth.wait_for_transaction_receipt(digest, timeout=30, poll_latency=0.01)
    with pytest.raises(ContractLogicError, match="execution reverted: mint key used"):
        await mint.estimate_gas({"from": SIGNER.address})
    forced = await mint.transact({"from": SIGNER.address, "gas": 300_000})
    receipt = await w3.eth.wait_for_transaction_receipt(forced, timeout=30, poll_latency=0.01)
    assert (receipt["status"], receipt["logs"]) == (0, [])


async def test_a_used_nonce_a_foreign_chain_and_an_empty_purse_are_refused(w3: AsyncWeb3[Any]) -> None:
    with pytest.raises(Web3RPCError, match="nonce too low"):
        await sent(w3, await transfer(w3, 0))
    with pytest.raises(Web3RPCError, match="invalid chain id for signer"):
        await sent(w3, {**await transfer(w3, 1), "chainId": 1})
    with pytest.raises(Web3RPCError, match=r"insufficient funds for gas \* price \+ value"):
        await sent(w3, {**await transfer(w3, 1), "value": w3.to_wei(10_000, "ether")})
    with pytest.raises(Web3RPCError, match="intrinsic gas too low"):
        await sent(w3, {**await transfer(w3, 1), "gas": 20_999})


async def test_a_cheap_transaction_waits_until_a_dearer_one_takes_its_place(w3: AsyncWeb3[Any]) -> None:
    cheap = {"maxFeePerGas": 1, "maxPriorityFeePerGas": 1}  # the base fee never falls below 7
    await sent(w3, await transfer(w3, 1, **cheap), wait=False)
    with pytest.raises(Web3RPCError, match="already known"):
        await sent(w3, await transfer(w3, 1, **cheap))
    with pytest.raises(Web3RPCError, match="replacement transaction underpriced"):
        await sent(w3, await transfer(w3, 1, maxFeePerGas=10**10, maxPriorityFeePerGas=1))
    first = SIGNER.sign_transaction(await transfer(w3, 1, **cheap)).hash
    assert (await w3.eth.get_transaction(first)).get("blockNumber") is None
    assert await w3.eth.get_transaction_count(SIGNER.address, "pending") == 2
    receipt = await sent(w3, await transfer(w3, 1))
    assert receipt is not None
    assert receipt["status"] == 1
    with pytest.raises(TransactionNotFound):
        await w3.eth.get_transaction(first)


async def test_a_nonce_gap_waits_and_old_transactions_are_still_taken(w3: AsyncWeb3[Any]) -> None:
    later = asyncio.create_task(sent(w3, await transfer(w3, 2)))
    earlier = await sent(w3, await transfer(w3, 1, gasPrice=10**10))
    last = await later
    assert earlier is not None
    assert last is not None
    assert (last["blockNumber"], last["transactionIndex"]) > (earlier["blockNumber"], earlier["transactionIndex"])
    assert earlier["type"] == 0


async def test_a_wrong_key_is_refused(w3: AsyncWeb3[Any]) -> None:
    url = str(w3.provider.endpoint_uri).replace("test-key", "wrong-key")
    async with connected(url) as stranger:
        with pytest.raises(aiohttp.ClientResponseError, match="401"):
            await stranger.is_connected()
