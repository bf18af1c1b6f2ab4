"""Ethereum: an ERC-721 token minted through JSON-RPC (EIP-1474, EIP-1559), under a key that can be used once.

The ledger is what makes it idempotent: a request's key leads to what was signed for it, by whomever and whenever. A
handle's id is that key, since a replaced transaction has another hash. What is signed cannot be taken back.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from jobrunner import contract
from jobrunner.errors import PermanentError, TransientError, Unavailable
from jobrunner.net import Net
from jobrunner.providers.answers import unsupported
from jobrunner.providers.driver import CancelAnswer, Capabilities, Desk, Failed, Finished, Listed, Poll, Running
from jobrunner.providers.ethereum.abi import call, encoded, types_of
from jobrunner.providers.ethereum.chain import Chain, Receipt, Token
from jobrunner.providers.ethereum.ledger import Ledger, Order
from jobrunner.providers.ethereum.refusals import Refused
from jobrunner.providers.ethereum.rpc import Rpc
from jobrunner.providers.ethereum.sender import NonceTaken, Sender
from jobrunner.providers.ethereum.wallet import wallet_of
from jobrunner.request import DeployRequest, MintRequest, Request
from jobrunner.settings.tables import Mint, Provider
from jobrunner.work import Handle, Intent, Money, Output, Plan

COLLECTION = "collection"
"""The only model: the contract in `[mint]`."""


class Ethereum:
    name = "ethereum"
    capabilities = Capabilities(routes=frozenset({"mint", "deploy"}), handle=True, idempotent=True)

    def __init__(self, net: Net, settings: Provider, mint: Mint, ledger: Ledger) -> None:
        """Raises ConfigError for a key file that cannot be used."""
        self._settings = mint
        self._ledger = ledger
        self._rpc = Rpc(net, settings)
        self._chain = Chain(self._rpc, mint)
        wallet = wallet_of(mint)
        self._sender = None if wallet is None else Sender(self._chain, wallet, ledger, mint)

    def prepare(self, model: str, request: Request) -> Plan:
        self._sending()
        if model != COLLECTION:
            raise unsupported(self.name, "model", f"{model!r} is none; there is {COLLECTION!r}, the contract in [mint]")
        match request:
            case MintRequest():
                return self._minting(request)
            case DeployRequest(name, symbol, key):
                data = contract.bytecode() + encoded(["string", "string"], [name, symbol])
                return Plan(self.name, model, "deploy", {"key": key, "data": f"0x{data.hex()}"})
        raise unsupported(self.name, "route", f"tokens are minted here, and not {request.route} made")

    async def submit(self, intent: Intent, desk: Desk) -> Handle | Finished:  # noqa: ARG002  # the Protocol's
        """What was signed has a handle, also where the node has not answered: polling sends the same bytes again."""
        sender, plan = self._sending(), intent.plan
        order = await self._order(plan)
        try:
            async with _reachable():
                await sender.send(order)
        except Refused as refusal:
            token = await self._chain.token_of(order) if refusal.meaning == "reverted" else None
            if token is None:
                raise refusal.judged() from refusal
            return Finished((), {"chain_id": self._settings.chain_id} | _shown(order, token))
        return Handle(self.name, order.key, submitted_at=time.time())

    async def poll(self, handle: Handle) -> Poll:
        sender = self._sending()
        async with _reachable():
            signed = await self._ledger.find(handle.id)
            if signed is None:
                message = f"Nothing was ever signed for {handle.id}: the database is not the one that it was."
                return Failed(PermanentError(message, code="artifact_expired", provider=self.name))
            try:
                receipt = await sender.follow(signed)
            except NonceTaken as error:
                return Failed(error)
            if receipt is None or receipt.depth < self._settings.confirmations:
                return Running()
            await self._ledger.settle(handle.id, "mined" if receipt.good else "reverted")
        return await self._ended(signed.order, receipt)

    async def fetch(self, output: Output, spool: Path) -> Path:
        return await self._rpc.fetch(output, spool)

    async def cancel(self, handle: Handle) -> CancelAnswer:
        """What is signed may be mined by anyone who has it."""
        try:
            return "unknown" if await self._ledger.find(handle.id) is None else "too_late"
        except Unavailable:
            return "unknown"

    async def listed(self, since: float) -> list[Listed]:  # noqa: ARG002  # the Protocol's
        """Not needed: an order that is sent again leads to what was signed for it."""
        return []

    async def aclose(self) -> None:
        await self._rpc.aclose()

    def _minting(self, request: MintRequest) -> Plan:
        address = self._settings.contract
        if address is None:
            message = "`mint.contract` is not set: name your collection's address; `jobrunner mint deploy` makes one."
            raise PermanentError(message, code="contract_missing", provider=self.name)
        if request.contract is not None and request.contract.lower() != address.lower():
            raise unsupported(self.name, "collection", f"{request.contract} is not the contract in [mint], {address}")
        body = {"key": request.key, "job_id": str(request.job_id), "to": request.to, "uri": request.uri}
        return Plan(self.name, COLLECTION, "mint", body | {"contract": address, "function": self._settings.function})

    async def _order(self, plan: Plan) -> Order:
        """The call that a plan stands for. Raises PermanentError for an address that is mistyped."""
        body, key = plan.body, plan.body["key"]
        if plan.endpoint == "deploy":
            return Order(key, None, None, body["data"])
        arguments = {"address": body["to"], "string": body["uri"], "bytes32": key}
        values = [arguments[type] for type in types_of(body["function"])]
        try:
            data = await asyncio.to_thread(call, body["function"], values)
        except ValueError as error:
            raise unsupported(self.name, "to", str(error)) from None
        return Order(key, UUID(body["job_id"]), body["contract"], data)

    async def _ended(self, order: Order, receipt: Receipt) -> Poll:
        meta = {"transaction": receipt.hash, "block": receipt.block, "chain_id": self._settings.chain_id}
        cost = Money(Decimal(receipt.gas_used), "gas")
        if order.to is None and receipt.good:
            return Finished((), meta | {"contract": receipt.contract}, cost)
        token = receipt.minted(order) if receipt.good else await self._chain.token_of(order)
        if token is not None:
            return Finished((), meta | _shown(order, token), cost)
        how = "made no token: is `mint.function` the right one?" if receipt.good else "reverted: nothing was minted."
        code = "no_token" if receipt.good else "reverted"
        return Failed(PermanentError(f"Transaction {receipt.hash} {how}", code=code, provider=self.name))

    def _sending(self) -> Sender:
        """Raises PermanentError where there is no key."""
        if self._sender is None:
            raise PermanentError(
                "ethereum needs a signing key: set `signing_key` or `signing_key_file` under [mint], or "
                "JOBRUNNER_MINT__SIGNING_KEY.",
                code="provider_key_missing",
                provider=self.name,
            )
        return self._sender


def _shown(order: Order, token: Token) -> dict[str, str | None]:
    return {"contract": order.to, "token_id": token.id, "owner": token.owner}


@asynccontextmanager
async def _reachable() -> AsyncIterator[None]:
    """The ledger's outage is no failure of the work."""
    try:
        yield
    except Unavailable as error:
        raise TransientError(str(error), code=error.code, provider=Ethereum.name) from error
