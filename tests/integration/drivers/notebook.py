"""A ledger in memory, for a minter who has no database; those of one Net share it, as workers share a database."""

import time
from dataclasses import replace
from functools import cache

from jobrunner.net import Net
from jobrunner.providers.ethereum import Ethereum
from jobrunner.providers.ethereum.ledger import ALIVE, Mint, Order, Sign, Signed, Signer, State
from jobrunner.runtime import SANDBOX_MINT
from jobrunner.settings.tables import Mint as Settings
from jobrunner.settings.tables import Provider


class Notebook:
    def __init__(self) -> None:
        self._mints: dict[str, Mint] = {}
        self._times: dict[str, float] = {}

    async def find(self, key: str) -> Mint | None:
        mint = self._mints.get(key)
        aged = [] if mint is None else [replace(each, age_s=self._age_s(each)) for each in mint.transactions]
        return None if mint is None else replace(mint, transactions=aged)

    async def at(self, signer: Signer, nonce: int) -> Mint | None:
        found = (key for key, mint in self._mints.items() if mint.signer == signer and mint.newest.nonce == nonce)
        return await self.find(next(found, ""))

    async def sign(self, order: Order, signer: Signer, floor: int, sign: Sign) -> tuple[Mint, bool]:
        known = self._mints.get(order.key)
        if known is not None and known.state in ALIVE:
            return known, False
        used = {mint.newest.nonce for mint in self._mints.values() if mint.state != "refused"}
        nonce = next(each for each in range(floor, floor + len(used) + 1) if each not in used)
        return self._keep(Mint(order, signer, "signed", ()), await sign(nonce)), True

    async def replace(self, mint: Mint, sign: Sign) -> Mint:
        now = self._mints[mint.order.key]
        return now if now.newest.hash != mint.newest.hash else self._keep(now, await sign(mint.newest.nonce))

    async def settle(self, key: str, state: State) -> None:
        self._mints[key] = replace(self._mints[key], state=state)

    def _keep(self, mint: Mint, signed: Signed) -> Mint:
        self._times[signed.hash] = time.monotonic()
        self._mints[mint.order.key] = replace(mint, transactions=(*mint.transactions, signed))
        return self._mints[mint.order.key]

    def _age_s(self, signed: Signed) -> float:
        return time.monotonic() - self._times[signed.hash]


@cache
def _shared(net: Net) -> Notebook:  # the cache's key
    return Notebook()


def minter(net: Net, provider: Provider) -> Ethereum:
    """One with the sandbox's key; with none at all where `provider` has no key either."""
    settings = Settings() if provider.api_key is None else Settings(**SANDBOX_MINT)
    return Ethereum(net, provider, settings, _shared(net))
