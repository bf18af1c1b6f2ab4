"""Gets one call into the chain, once: signed and committed first, then broadcast, then watched until it is deep enough.

On any doubt the same bytes are sent again; a new signature is made only at the same nonce, with higher fees.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable
from dataclasses import replace

from jobrunner.errors import AttemptError, PermanentError
from jobrunner.events import emit
from jobrunner.failpoints import hit
from jobrunner.providers.ethereum.chain import Chain, Receipt
from jobrunner.providers.ethereum.fees import Fees, bumped
from jobrunner.providers.ethereum.ledger import ALIVE, Ledger, Mint, Order, Sign, Signed, Signer
from jobrunner.providers.ethereum.refusals import REFUSED, Refused
from jobrunner.providers.ethereum.wallet import Wallet
from jobrunner.settings.tables import Mint as Settings

_PLAIN_GAS = 21_000
"""What a transaction costs that calls nothing."""


class NonceTaken(PermanentError):
    """Another transaction has used the nonce: somebody else signs with this key."""

    code = "nonce_taken"


class Sender:
    def __init__(self, chain: Chain, wallet: Wallet, ledger: Ledger, settings: Settings) -> None:
        self._chain = chain
        self._wallet = wallet
        self._ledger = ledger
        self._confirmations = settings.confirmations
        self._replace_after_s = settings.replace_after_s
        self._turn = asyncio.Lock()

    async def send(self, order: Order) -> Mint:
        """Broadcast the order, or what was signed for it before.

        Raises Refused, and TransientError or PermanentError, where nothing was signed or nothing of it is left.
        """
        signer = await self._signer()
        mint, fresh = await self._ledger.find(order.key), False
        if mint is None or mint.state not in ALIVE:
            fees, gas = await self._chain.fees(), await self._chain.gas(signer.address, order)
            floor = await self._chain.nonce(signer.address, "pending")
            mint, fresh = await self._sign(replace(order, gas=gas), signer, floor, fees)
            await hit("mint.signed")
        _check_signer(mint, signer)
        if mint.state == "signed":
            await self._broadcast(mint, fresh=fresh)
        return mint

    async def follow(self, mint: Mint) -> Receipt | None:
        """Where it is in the chain by now, whichever of its transactions it is; None: in no block, and helped along.

        Raises NonceTaken.
        """
        receipt = await self._receipt(mint)
        if receipt is None:
            await self._press(mint)
        return receipt

    async def _receipt(self, mint: Mint) -> Receipt | None:
        for each in mint.live:
            receipt = await self._chain.receipt(each.hash)
            if receipt is not None:
                return receipt
        return None

    async def _signer(self) -> Signer:
        """Raises PermanentError `wrong_chain`."""
        chain_id, genesis = await self._chain.check()
        return Signer(chain_id, genesis, await self._wallet.address())

    async def _sign(self, order: Order, signer: Signer, floor: int, fees: Fees) -> tuple[Mint, bool]:
        async with self._turn:  # so that those who wait for the row lock are processes, not connections of one
            mint, fresh = await self._ledger.sign(order, signer, floor, self._pen(signer, order, fees))
        if fresh:
            emit(
                "mint.signed",
                job_id=order.job_id and str(order.job_id),
                transaction=mint.newest.hash,
                nonce=mint.newest.nonce,
            )
        return mint, fresh

    def _pen(self, signer: Signer, order: Order, fees: Fees) -> Sign:
        def sign(nonce: int) -> Awaitable[Signed]:
            return self._wallet.sign(signer.chain_id, nonce, order, fees)

        return sign

    async def _broadcast(self, mint: Mint, *, fresh: bool = False) -> None:
        """`fresh`: never sent before, so that a refusal means that nobody has it, and its nonce is given back."""
        try:
            await self._chain.send(mint.newest.raw)
        except Refused as refusal:
            if refusal.meaning == "known" or await self._chain.knows(mint.newest.hash):
                return
            emit("mint.refused", logging.WARNING, transaction=mint.newest.hash, error=str(refusal))
            if fresh and refusal.meaning in REFUSED:
                await self._ledger.settle(mint.order.key, "refused")
                raise refusal.judged() from refusal
        except AttemptError as error:
            emit("mint.unanswered", logging.WARNING, transaction=mint.newest.hash, error=str(error))

    async def _press(self, mint: Mint) -> None:
        """Move the account's first unmined nonce, which holds up all behind it, and then this one."""
        nonce = mint.newest.nonce
        latest = await self._chain.nonce(mint.signer.address, "latest")
        if latest > nonce:
            await self._check_taken(mint)
            return
        first = mint if latest == nonce else await self._ledger.at(mint.signer, latest)
        if first is None:
            await self._fill(mint, latest)
        else:
            await self._move(first)
        if first is not mint and not await self._chain.knows(mint.newest.hash):
            await self._broadcast(mint)

    async def _move(self, mint: Mint) -> None:
        """Send it again where the node has lost it; offer more for it where it takes too long."""
        if mint.newest.age_s > self._replace_after_s:
            now = await self._chain.offer()
            fees = None if now is None else bumped(mint.newest.fees, now, self._chain.cap)
            if fees is not None:
                replaced = await self._ledger.replace(mint, self._pen(mint.signer, mint.order, fees))
                emit("mint.replaced", logging.WARNING, transaction=mint.newest.hash, by=replaced.newest.hash)
                await self._broadcast(replaced)
                return
            emit("mint.capped", logging.WARNING, transaction=mint.newest.hash, max_fee_wei=mint.newest.fees.max_wei)
        if not await self._chain.knows(mint.newest.hash):
            await self._broadcast(mint)

    async def _fill(self, mint: Mint, nonce: int) -> None:
        """Nobody has a transaction at `nonce`, and all behind it wait: send one that does nothing."""
        signer = mint.signer
        overdue = mint.newest.age_s > self._replace_after_s
        if not overdue or await self._chain.nonce(signer.address, "pending") > nonce:
            return
        _check_signer(mint, await self._signer())
        name = f"fill:{signer.genesis}:{signer.address}:{nonce}"
        order = Order(hashlib.sha256(name.encode()).hexdigest(), None, signer.address, "0x", _PLAIN_GAS)
        filler, _ = await self._sign(order, signer, nonce, await self._chain.fees())
        emit("mint.gap_filled", logging.WARNING, nonce=filler.newest.nonce, transaction=filler.newest.hash)
        await self._broadcast(filler)

    async def _check_taken(self, mint: Mint) -> None:
        """The nonce is used. Once that is as deep as a confirmation, and by none of ours, it is somebody else's."""
        settled = max(await self._chain.head() - self._confirmations + 1, 0)
        if await self._chain.nonce(mint.signer.address, hex(settled)) <= mint.newest.nonce:
            return
        if await self._receipt(mint) is not None:  # it was mined between two questions
            return
        _check_signer(mint, await self._signer())
        await self._ledger.settle(mint.order.key, "taken")
        raise NonceTaken(
            f"Nonce {mint.newest.nonce} of {mint.signer.address} was used by a transaction that is not ours: somebody "
            "else signs with this key. Nothing was minted. Give jobrunner a key of its own, then retry the job.",
            provider="ethereum",
        )


def _check_signer(mint: Mint, signer: Signer) -> None:
    """Raises PermanentError where the mint is another account's, or of a chain that the node is not on."""
    if mint.signer != signer:
        raise PermanentError(
            f"This was signed before by {mint.signer.address} on chain {mint.signer.chain_id} with genesis "
            f"{mint.signer.genesis}, as {mint.newest.hash}, and the node or the key is another now. Look there before "
            "you submit it as a new job.",
            code="signed_elsewhere",
            provider="ethereum",
        )
