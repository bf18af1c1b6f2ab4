"""The sandbox's chain where the web3 package does not look: its pool, its faults, and what a kill leaves of it.

Blocks come every 100 s at this speed, so the tests say themselves when one is mined.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import rlp
from eth_account import Account

import jobrunner
from jobrunner.sandbox import ledger
from jobrunner.sandbox.app import running
from jobrunner.sandbox.eth.accounts import CHAIN_ID, COLLECTION, DEV_KEYS
from jobrunner.sandbox.eth.evm import Evm
from jobrunner.sandbox.eth.transaction import Call, Fees

SLOWLY = 0.01
SIGNER, OTHER = (Account.from_key(key) for key in DEV_KEYS[:2])
ORDER = {
    "chainId": CHAIN_ID, "to": OTHER.address, "value": 1, "gas": 30_000,
    "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9,
}  # fmt: skip
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SERVE = """
import asyncio, pathlib, sys
from jobrunner.sandbox.app import running

async def serve():
    async with running(pathlib.Path(sys.argv[1]), speed=0.01) as sandbox:
        print(sandbox.base_url, flush=True)
        await asyncio.Event().wait()

asyncio.run(serve())
"""


class Node:
    """JSON-RPC by hand."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def post(self, body: object, path: str = "/eth", **headers: str) -> tuple[int, Any]:
        async with self.http.post(path, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def ask(self, method: str, *params: object, **headers: str) -> Any:
        """The result, or the error."""
        _, answer = await self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, **headers)
        return answer.get("result", answer.get("error"))

    async def send(self, raw: str, fault: str = "") -> Any:
        return await self.ask("eth_sendRawTransaction", raw, **{"X-Sandbox-Fault": fault})

    async def mine(self) -> None:
        assert await self.ask("evm_mine") == "0x0"

    async def receipt(self, hash_: str) -> Any:
        return await self.ask("eth_getTransactionReceipt", hash_)

    async def height(self) -> int:
        return int(await self.ask("eth_blockNumber"), 16)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with (
        running(tmp_path, speed=SLOWLY) as sandbox,
        aiohttp.ClientSession(sandbox.base_url) as http,
    ):
        yield Node(http)


def signed(nonce: int = 1, *, max_fee: int = 10**10, tip: int = 10**9, data: bytes = b"") -> tuple[str, str]:
    """A transfer of one wei as raw bytes, and its hash."""
    fees = {"maxFeePerGas": max_fee, "maxPriorityFeePerGas": tip}
    made = SIGNER.sign_transaction({**ORDER, **fees, "nonce": nonce, "data": data})
    return made.raw_transaction.to_0x_hex(), made.hash.to_0x_hex()


async def test_the_first_blocks_are_the_genesis_and_the_contract(node: Node) -> None:
    assert await node.height() == 1
    block = await node.ask("eth_getBlockByNumber", "0x1", True)
    [deployment] = block["transactions"]
    receipt = await node.receipt(deployment["hash"])
    assert (receipt["status"], receipt["contractAddress"], receipt["from"]) == ("0x1", COLLECTION, SIGNER.address)
    assert (await node.ask("eth_getBlockByHash", block["parentHash"], False))["number"] == "0x0"
    assert await node.ask("eth_getBlockByNumber", "0x2", False) is None


async def test_calls_come_in_batches_and_each_has_its_own_answer(node: Node) -> None:
    calls = [
        {"jsonrpc": "2.0", "id": 5, "method": "eth_chainId"},
        {"jsonrpc": "2.0", "id": 6, "method": "eth_fly", "params": []},
        {"jsonrpc": "2.0", "id": 7, "method": "eth_getBalance", "params": ["0x12"]},
        "what?",
    ]
    status, answers = await node.post(calls)
    assert status == 200
    assert [(each["id"], each.get("result"), each.get("error", {}).get("code")) for each in answers] == [
        (5, "0x7a69", None),
        (6, None, -32601),
        (7, None, -32602),
        (None, None, -32600),
    ]


async def test_a_key_is_not_needed_here_but_a_wrong_one_is_refused(node: Node) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "net_version", "params": []}
    for path, headers in (("/eth", {}), ("/eth/test-key", {}), ("/eth", {"Authorization": "Bearer test-key"})):
        assert (await node.post(call, path, **headers))[1]["result"] == "31337"
    for path, headers in (("/eth/wrong-key", {}), ("/eth", {"Authorization": "Bearer wrong-key"})):
        status, answer = await node.post(call, path, **headers)
        assert (status, "error" in answer) == (401, True)


async def test_a_reset_after_the_accept_leaves_the_transaction_in_the_pool(node: Node, tmp_path: Path) -> None:
    raw, name = signed()
    with pytest.raises(aiohttp.ClientError):
        await node.send(raw, "reset")
    assert (await node.ask("eth_getTransactionByHash", name))["blockHash"] is None
    assert (await node.send(raw))["message"] == "already known"
    await node.mine()
    assert (await node.receipt(name))["status"] == "0x1"
    assert (await node.send(raw))["message"].startswith("nonce too low")
    assert [each.id for each in ledger.read(tmp_path, "eth")] == [name]


@pytest.mark.parametrize(
    ("word", "status", "code"), [("429", 429, -32005), ("quota", 402, -32005), ("503", 503, -32603)]
)
async def test_a_refused_exchange_sells_nothing(node: Node, tmp_path: Path, word: str, status: int, code: int) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [signed()[0]]}
    got, answer = await node.post(body, **{"X-Sandbox-Fault": word})
    assert (got, answer["error"]["code"]) == (status, code)
    assert ledger.read(tmp_path) == []


async def test_a_rule_tells_transactions_from_questions(node: Node) -> None:
    async with node.http.post("/admin/faults", json={"fail": "503", "provider": "eth", "on": "create"}) as answer:
        assert answer.status == 201
    assert await node.height() == 1
    assert (await node.send(signed()[0]))["message"] == "service unavailable"


async def test_a_dropped_one_is_forgotten_and_may_come_again(node: Node, tmp_path: Path) -> None:
    raw, name = signed()
    assert await node.send(raw, "drop") == name
    assert await node.ask("eth_getTransactionByHash", name) is None
    assert await node.send(raw) == name
    await node.mine()
    assert (await node.receipt(name))["status"] == "0x1"
    assert len(ledger.read(tmp_path)) == 1


async def test_a_stuck_one_stays_until_it_is_replaced(node: Node) -> None:
    raw, name = signed(data=b"[stuck]")
    assert await node.send(raw) == name
    await node.mine()
    await node.mine()
    assert (await node.ask("eth_getTransactionByHash", name))["blockHash"] is None
    raw, other = signed(max_fee=11 * 10**9, tip=11 * 10**8)
    assert await node.send(raw) == other
    await node.mine()
    assert (await node.receipt(other))["status"] == "0x1"
    assert await node.ask("eth_getTransactionByHash", name) is None


async def test_a_reorg_takes_a_block_back_and_mines_its_transactions_again(node: Node) -> None:
    raw, name = signed()
    await node.send(raw, "reorg")
    await node.mine()
    first, height = await node.receipt(name), await node.height()
    assert int(first["blockNumber"], 16) == height
    await node.mine()
    assert await node.receipt(name) is None
    assert await node.height() > height
    assert (await node.ask("eth_getBlockByNumber", first["blockNumber"], False))["hash"] != first["blockHash"]
    assert await node.ask("eth_getBlockByHash", first["blockHash"], False) is None
    assert (await node.ask("eth_getTransactionByHash", name))["blockNumber"] is None
    await node.mine()
    second = await node.receipt(name)
    assert second["blockHash"] != first["blockHash"]
    assert second["status"] == "0x1"
    assert await node.ask("eth_getTransactionCount", SIGNER.address, "latest") == "0x2"


async def test_logs_are_found_by_address_topic_and_block(node: Node) -> None:
    [born] = (await node.ask("eth_getLogs", {"fromBlock": "0x0", "topics": [None, None, None]}))[:1]
    everywhere = {"fromBlock": "earliest", "toBlock": "latest"}
    assert born in await node.ask("eth_getLogs", {**everywhere, "address": COLLECTION.lower()})
    assert born in await node.ask("eth_getLogs", {"blockHash": born["blockHash"], "topics": [[born["topics"][0]]]})
    assert await node.ask("eth_getLogs", {**everywhere, "address": OTHER.address}) == []
    assert await node.ask("eth_getLogs", {**everywhere, "topics": [f"0x{bytes(32).hex()}"]}) == []
    assert await node.ask("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x0"}) == []


async def test_a_call_that_offers_less_than_the_base_fee_is_refused(node: Node) -> None:
    cheap = {"from": SIGNER.address, "to": OTHER.address, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x1"}
    assert "max fee per gas less than block base fee" in (await node.ask("eth_estimateGas", cheap))["message"]
    assert await node.ask("eth_estimateGas", {"from": SIGNER.address, "to": OTHER.address}) == "0x5208"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("0x", "rlp"),
        ("0x02c0", "rlp"),
        ("0xc0", "rlp"),
        ("0x03c0", "transaction type not supported: 3"),
        ("0x0", "invalid hex"),
        ("bear", "0x prefix"),
        (f"0x02f84d827a690101850218711a0082520894{'11' * 20}0180c080{'a0' + '00' * 32}", "rlp"),
    ],
)
async def test_what_is_no_transaction_is_refused(node: Node, raw: str, message: str) -> None:
    assert message in (await node.send(raw))["message"]


async def test_a_forged_signature_is_refused(node: Node) -> None:
    raw = bytes.fromhex(signed()[0][2:])
    assert "rlp" in (await node.send(f"0x{(raw[:-32] + bytes([255] * 32)).hex()}"))["message"]


async def test_a_mirrored_signature_and_too_large_a_contract_are_refused(node: Node) -> None:
    made = SIGNER.sign_transaction({**ORDER, "nonce": 1})
    fields = rlp.decode(bytes(made.raw_transaction)[1:])
    mirrored = [*fields[:-3], b"" if fields[-3] else b"\1", fields[-2], (CURVE_ORDER - made.s).to_bytes(32)]
    raw = b"\2" + rlp.encode(mirrored)
    assert (await node.send(f"0x{raw.hex()}"))["message"] == "invalid sender: invalid transaction v, r, s values"
    creation = {"from": SIGNER.address, "data": f"0x{bytes(49_153).hex()}", "gas": "0xf42400"}
    for method in ("eth_estimateGas", "eth_sendTransaction"):
        assert (await node.ask(method, creation))["message"].startswith("max initcode size exceeded")


def test_the_evm_leaves_out_what_does_not_fit() -> None:
    evm = Evm({})
    [sender, *_], at = evm.accounts, evm.genesis(1).block.hash
    raws = [evm.signed(Call(sender, sender, 1, b"", 21_000), nonce=n, fees=Fees(10**10, 1)) for n in (0, 5, 1)]
    mined = evm.mine(at, raws, 2)
    assert [receipt["status"] for receipt in mined.receipts] == ["0x1", "0x1"]
    assert list(mined.unfit) == [evm.read(raws[1]).hash]


def test_the_evm_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, jobrunner.sandbox.app; print('eth' in sys.modules, 'eth_account' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


async def test_past_states_can_be_asked_for(node: Node) -> None:
    before = await node.ask("eth_getBalance", OTHER.address, "latest")
    await node.send(signed()[0])
    assert await node.ask("eth_getTransactionCount", SIGNER.address, "pending") == "0x2"
    await node.mine()
    assert int(await node.ask("eth_getBalance", OTHER.address, "latest"), 16) == int(before, 16) + 1
    assert await node.ask("eth_getBalance", OTHER.address, "0x1") == before
    assert await node.ask("eth_getBalance", OTHER.address, {"blockNumber": "0x1"}) == before
    assert await node.ask("eth_getTransactionCount", SIGNER.address, "0x0") == "0x0"


async def test_many_send_from_one_unlocked_account_at_once(node: Node) -> None:
    order = {"from": OTHER.address, "to": SIGNER.address, "value": "0x1"}
    names = await asyncio.gather(*(node.ask("eth_sendTransaction", order) for _ in range(8)))
    await node.mine()
    receipts = [await node.receipt(name) for name in names]
    assert {receipt["status"] for receipt in receipts} == {"0x1"}
    assert len({receipt["transactionIndex"] for receipt in receipts}) == 8
    stranger = {**order, "from": f"0x{'11' * 20}"}
    assert (await node.ask("eth_sendTransaction", {**stranger, "gas": "0x5208"}))["message"] == "unknown account"


async def serve(data_dir: Path) -> tuple[asyncio.subprocess.Process, str]:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVE, str(data_dir), stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(jobrunner.__file__).parents[1])},
    )  # fmt: skip
    assert server.stdout is not None
    return server, (await server.stdout.readline()).decode().strip()


async def test_a_killed_chain_goes_on_where_it_was(tmp_path: Path) -> None:
    mined, waiting = signed(1), signed(2, data=b"[stuck]")
    server, base_url = await serve(tmp_path)
    async with aiohttp.ClientSession(base_url) as http:
        node = Node(http)
        await node.send(mined[0])
        await node.mine()
        await node.send(waiting[0])
        receipt, block = await node.receipt(mined[1]), await node.ask("eth_getBlockByNumber", "latest", True)
        balance = await node.ask("eth_getBalance", OTHER.address)
        server.send_signal(signal.SIGKILL)
        await server.wait()
    async with running(tmp_path, speed=SLOWLY) as sandbox, aiohttp.ClientSession(sandbox.base_url) as http:
        node = Node(http)
        assert await node.receipt(mined[1]) == receipt
        assert await node.ask("eth_getBlockByNumber", "latest", True) == block
        assert await node.ask("eth_getBalance", OTHER.address) == balance
        assert await node.ask("eth_getTransactionCount", SIGNER.address, "pending") == "0x3"
        assert (await node.send(waiting[0]))["message"] == "already known"
        raw, name = signed(2, max_fee=11 * 10**9, tip=11 * 10**8)
        await node.send(raw)
        await node.mine()
        after = await node.receipt(name)
        parent = (await node.ask("eth_getBlockByHash", after["blockHash"], False))["parentHash"]
        assert (after["status"], parent) == ("0x1", block["hash"])
