"""Row: RPC drops after broadcast; nonce gap; underpriced; stuck; dropped; reorg.

And who signs may die or stand still before it is sent; and a person may retry what is in the chain already.
"""

import asyncio
import base64
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import orjson
import pytest

from jobrunner.request import MintRequest
from jobrunner.sandbox.artists.artist import draw
from jobrunner.sandbox.eth.chain import QUIET_BLOCKS
from jobrunner.worker import purchase
from tests.faults.chain import CHAIN
from tests.faults.test_processes import death, saying, stopped
from tests.faults.world import World, until
from tests.integration.drivers.conftest import at_loopback
from tests.integration.drivers.ethereum.conftest import OWNER, Proxy

PICTURE = f"data:image/png;base64,{base64.b64encode(draw('a kite', 1, 64, 64)).decode()}"
BROADCAST = "submit.after:kill:3"
"""Dead once the node has the transaction and before the step has its handle: two pins come before it."""


@pytest.fixture(autouse=True)
def _polled_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purchase, "_POLL_CAP_S", purchase._POLL_FIRST_S)


async def order(world: World, http: aiohttp.ClientSession, name: str = "A kite") -> UUID:
    """Submit a mint; each needs a name of its own, by which its pins are told."""
    params = {"asset": PICTURE, "name": name, "to": OWNER, "user_id": "u1"}
    [job] = await world.take(http, name, task="mint_nft", params=params)
    return job


async def minted(world: World, http: aiohttp.ClientSession, **expected: Any) -> list[dict[str, Any]]:
    """The results of all jobs, as the API shows them once every job has completed, and as `expected`.

    Each is the only token that the chain has under its job's key, made by the transaction that it names.
    """
    rows = await world.all_end(status="completed", **expected)
    results = [(await world.ask(http, "GET", f"/v1/jobs/{row['id']}")).body["result"] for row in rows]
    shown = [(MintRequest("", "", row["id"]).key, nft["token_id"]) for row, nft in zip(rows, results, strict=True)]
    assert sorted(shown) == sorted(await world.chain.tokens())
    for nft in results:
        receipt = await world.chain.ask("eth_getTransactionReceipt", nft["transaction"])
        assert int(receipt["blockNumber"], 16) == nft["block"]
    return results


async def signed(world: World) -> list[asyncpg.Record]:
    """`hash` and `nonce` of every transaction, in the order of their signing; waits for the first."""
    asked = "SELECT hash, nonce FROM jobrunner.transactions ORDER BY signed_at, number"
    transactions: list[asyncpg.Record] = await until(lambda: world.database.fetch(asked))
    return transactions


def sent(world: World) -> list[str]:
    """The hashes of all transactions that the node took."""
    return [purchase.id for purchase in world.purchases(CHAIN)]


@asynccontextmanager
async def behind_proxy(world: World) -> AsyncIterator[tuple[Proxy, dict[str, Any]]]:
    """A node that can lie, and the providers of a worker that asks it."""
    proxy, providers = Proxy(world.chain.url), world.providers()
    async with at_loopback(proxy.handle) as proxy.url:
        yield proxy, {**providers, "ethereum": {**providers["ethereum"], "base_url": proxy.url}}


# ---- the node and its chain --------------------------------------------------------------------


@pytest.mark.parametrize("word", ["reset", "503", "drop", "reorg"])
async def test_rpc_drops_and_dropped_and_reorg(world: World, word: str) -> None:
    """The same signed bytes are sent again, and are the only ones ever signed."""
    await world.fault(provider=CHAIN, on="create", fail=word, count=1)
    async with world.api() as http, world.working():
        await order(world, http)
        [nft] = await minted(world, http, fence=1, failures=0)
    assert sent(world) == [nft["transaction"]] == [each["hash"] for each in await signed(world)]


async def test_stuck(world: World) -> None:
    """It is offered again for more, at the nonce that it has."""
    await world.fault(provider=CHAIN, on="create", fail="stuck", count=1)
    async with world.api() as http, world.working(mint={**world.values["mint"], "replace_after_s": 0.5}):
        await order(world, http)
        [nft] = await minted(world, http, fence=1, failures=0)
    first, *others = await signed(world)
    assert {each["nonce"] for each in others} == {first["nonce"]}
    assert nft["transaction"] in {each["hash"] for each in others}


async def test_underpriced(world: World) -> None:
    """What the node will not have is signed anew at the same nonce, so that none is left out."""
    async with behind_proxy(world) as (proxy, providers), world.api() as http, world.working(providers=providers):
        proxy.lie("eth_sendRawTransaction", error={"code": -32000, "message": "transaction underpriced"})
        await order(world, http)
        [nft] = await minted(world, http, fence=2, failures=1)
    assert sent(world) == [nft["transaction"]]
    assert len({each["nonce"] for each in await signed(world)}) == 1


async def test_completed_only_after_its_confirmations_and_not_cancelled_before(world: World) -> None:
    """The chain stands still one block short of them."""
    confirmations = QUIET_BLOCKS + 2
    mint = {**world.values["mint"], "confirmations": confirmations}
    async with (
        behind_proxy(world) as (proxy, providers),
        world.api() as http,
        world.working(mint=mint, providers=providers),
    ):
        job = await order(world, http)
        await world.bound()
        refused = await world.ask(http, "POST", f"/v1/jobs/{job}/cancel")
        assert (refused.status, refused.body["code"]) == (409, "conflict")
        receipt = await deepest(world)
        await polled(proxy, receipt)
        assert [row["status"] for row in await world.rows(job)] == ["in_progress"]
        await world.chain.ask("evm_mine")
        [nft] = await minted(world, http, fence=1, failures=0)
        assert await world.chain.head() - nft["block"] + 1 == confirmations


async def deepest(world: World) -> dict[str, Any]:
    """The receipt of the only transaction, once as many blocks lie on it as the chain makes by itself."""
    [transaction] = await signed(world)

    async def deep() -> dict[str, Any] | None:
        receipt: dict[str, Any] | None = await world.chain.ask("eth_getTransactionReceipt", transaction["hash"])
        head = await world.chain.head()
        return receipt if receipt and head == int(receipt["blockNumber"], 16) + QUIET_BLOCKS else None

    receipt: dict[str, Any] = await until(deep)
    return receipt


async def polled(proxy: Proxy, receipt: dict[str, Any]) -> None:
    """Wait until the worker was told the truth twice from now on, so that it has judged what it heard first."""
    for _ in range(2):
        proxy.lie("eth_getTransactionReceipt", result=receipt)

    async def told() -> bool:
        return not proxy.answers["eth_getTransactionReceipt"]

    await until(told)


# ---- the worker --------------------------------------------------------------------------------


async def test_worker_dies_between_signing_and_broadcast(world: World) -> None:
    async with world.api() as http:
        job = await order(world, http)
        async with world.process("worker", failpoint="mint.signed:kill") as worker:
            assert await death(worker) == -signal.SIGKILL
        transactions = await signed(world)
        assert sent(world) == []
        assert (await world.ask(http, "POST", f"/v1/jobs/{job}/cancel")).status == 409
        async with world.recovering("worker killed"), world.working():
            [nft] = await minted(world, http, fence=2, failures=0, crashes=1)
    assert [nft["transaction"]] == sent(world) == [each["hash"] for each in transactions]
    assert await signed(world) == transactions


async def test_zombie_with_a_signature(world: World) -> None:
    """It stands still past its lease, and broadcasts what another has minted meanwhile."""
    async with world.api() as http, world.process("worker", failpoint="mint.signed:stop") as zombie:
        await order(world, http)
        await stopped(zombie)
        async with world.working():
            [nft] = await minted(world, http, fence=2, failures=0, crashes=1)
            zombie.process.send_signal(signal.SIGCONT)
            await saying(zombie, "worker.declared_dead")
            await asyncio.to_thread(zombie.stop)
        assert await minted(world, http, fence=2) == [nft]
    assert sent(world) == [nft["transaction"]]
    assert await world.database.fetchval("SELECT state FROM jobrunner.mints") == "mined"


async def test_nonce_gap(world: World) -> None:
    """One job stands still with a signature, and the next one behind it, in the same worker, gets both sent."""
    async with world.api() as http:
        async with world.process("worker", failpoint="mint.signed:sleep") as worker:
            held = await order(world, http)
            [first] = await signed(world)
            following = await order(world, http, "A kite behind it")
            await completed(world, following)
            assert [row["status"] for row in await world.rows(held)] == ["in_progress"]
            worker.process.kill()
            await death(worker)
        async with world.recovering("worker killed"), world.working():
            await minted(world, http, failures=0)
    transactions = await signed(world)
    assert transactions[0] == first
    assert [each["nonce"] for each in transactions] == [first["nonce"], first["nonce"] + 1]
    assert sorted(sent(world)) == sorted(each["hash"] for each in transactions)


async def completed(world: World, job: UUID) -> None:
    """Wait until this one of all jobs has."""

    async def so() -> bool:
        [row] = await world.rows(job)
        return bool(row["status"] == "completed")

    await until(so)


# ---- the person --------------------------------------------------------------------------------


async def test_a_persons_retry_never_mints_twice(world: World) -> None:
    """The token is there, and the job fails, since whoever started the next worker had set another chain."""
    async with world.api() as http:
        job = await order(world, http)
        async with world.process("worker", failpoint=BROADCAST) as worker:
            assert await death(worker) == -signal.SIGKILL
        tokens = await until(world.chain.tokens)
        async with world.working(mint={**world.values["mint"], "chain_id": 1}):
            [row] = await world.all_end(status="failed", fence=2)
        assert orjson.loads(row["error"])["code"] == "wrong_chain"
        assert (await world.ask(http, "POST", f"/v1/jobs/{job}/retry")).status == 202
        async with world.working():
            [nft] = await minted(world, http, fence=3)
        assert (await world.ask(http, "POST", f"/v1/jobs/{job}/retry")).status == 409
    assert await world.chain.tokens() == tokens
    assert sent(world) == [nft["transaction"]]
