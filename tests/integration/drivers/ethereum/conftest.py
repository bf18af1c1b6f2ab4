"""Minters of one ledger on the sandbox's chain, and a node that lies."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from pydantic import SecretStr

from jobrunner.net import Net
from jobrunner.providers.driver import Desk, Failed, Finished, Running
from jobrunner.providers.ethereum import COLLECTION as MODEL
from jobrunner.providers.ethereum import Ethereum
from jobrunner.request import DeployRequest, MintRequest
from jobrunner.runtime import SANDBOX_MINT
from jobrunner.sandbox.app import running
from jobrunner.sandbox.eth.accounts import COLLECTION
from jobrunner.settings import Settings
from jobrunner.settings.tables import Mint, Provider
from jobrunner.store.postgres import Store
from jobrunner.work import Handle, Intent
from tests.integration.drivers.conftest import at_loopback
from tests.integration.store.conftest import held, worker

SPEED = 20.0
"""A block every 50 ms."""
OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
ACCOUNT = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
"""The first dev account's: the minter's."""
STUCK_S = 0.5
"""After which a transaction is offered again for more."""
SOON_S = 60.0
DESK = Desk(Path(), lambda artifact: Path(artifact.key))


def minter(**settings: Any) -> Mint:
    return Mint(**{**SANDBOX_MINT, "confirmations": 2, "replace_after_s": STUCK_S} | settings)


class Mintery:
    """Drivers of one sandbox and one ledger, each as a process of its own would have it."""

    def __init__(self, url: str, store: Store) -> None:
        self.url = url
        self.store = store
        self.net = Net()
        self.drivers: list[Ethereum] = []
        self.http = aiohttp.ClientSession()

    def driver(self, url: str | None = None, *, timeout_s: float = 60.0, **settings: Any) -> Ethereum:
        provider = Provider(base_url=url or f"{self.url}/eth", timeout_s=timeout_s)
        self.drivers.append(Ethereum(self.net, provider, minter(**settings), self.store.mints))
        return self.drivers[-1]

    async def ask(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.http.post(f"{self.url}/eth", json=body) as answer:
            said = await answer.json()
            assert "error" not in said, said
            return said["result"]

    async def fail(self, word: str, count: int = 1, on: str | None = "create") -> None:
        body = {"provider": "eth", "fail": word, "count": count, "on": on}
        async with self.http.post(f"{self.url}/admin/faults", json=body) as answer:
            assert answer.status == 201, await answer.text()

    async def tokens(self) -> int:
        """How many there are."""
        return int(await self.ask("eth_call", {"to": COLLECTION, "data": "0x18160ddd"}, "latest"), 16)

    async def nonce(self) -> int:
        return int(await self.ask("eth_getTransactionCount", ACCOUNT, "latest"), 16)

    async def aclose(self) -> None:
        for driver in self.drivers:
            await driver.aclose()
        await self.net.aclose()
        await self.http.close()


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    async with Store.opened(Settings(database_url=SecretStr(database_url))) as store:
        yield store


@pytest.fixture
async def mintery(store: Store, tmp_path: Path) -> AsyncIterator[Mintery]:
    async with running(tmp_path / "sandbox", speed=SPEED) as sandbox:
        mintery = Mintery(sandbox.base_url, store)
        yield mintery
        await mintery.aclose()


class Proxy:
    """A node that lies: what `answers` holds for a method is answered in the real node's place, once each."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.url = ""
        self.answers: dict[str, list[Any]] = {}

    def lie(self, method: str, **answer: Any) -> None:
        self.answers.setdefault(method, []).append(answer)

    async def handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        lies = self.answers.get(orjson.loads(raw)["method"])
        if lies:
            return web.json_response({"jsonrpc": "2.0", "id": 1} | lies.pop(0))
        async with aiohttp.ClientSession() as http, http.post(self.node, data=raw) as answer:
            return web.json_response(await answer.json())


@pytest.fixture
async def proxy(mintery: Mintery) -> AsyncIterator[Proxy]:
    proxy = Proxy(f"{mintery.url}/eth")
    async with at_loopback(proxy.handle) as proxy.url:
        yield proxy


async def order(store: Store, to: str = OWNER) -> MintRequest:
    """For a job that is being run."""
    job = await held(store, await worker(store))
    return MintRequest(to, "ipfs://bafkreitoken", job.id)


async def submit(driver: Ethereum, request: MintRequest | DeployRequest) -> Handle | Finished:
    return await driver.submit(Intent("any", driver.prepare(MODEL, request)), DESK)


async def ended(driver: Ethereum, answer: Handle | Finished) -> Finished | Failed:
    async with asyncio.timeout(SOON_S):
        while isinstance(answer, Handle):
            found = await driver.poll(answer)
            if not isinstance(found, Running):
                return found
            await asyncio.sleep(0.02)
        return answer


async def minted(driver: Ethereum, request: MintRequest) -> dict[str, Any]:
    finished = await ended(driver, await submit(driver, request))
    assert isinstance(finished, Finished), finished
    return dict(finished.meta)
