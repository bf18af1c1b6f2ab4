"""What was signed for the chain: nonces given out under a row lock, signed bytes kept before anyone broadcasts them.

Implements the ledger of providers/ethereum.
"""

from typing import Any

import asyncpg
import orjson

from jobrunner.errors import TransientError
from jobrunner.providers.ethereum.fees import Fees
from jobrunner.providers.ethereum.ledger import ALIVE, Mint, Order, Sign, Signed, Signer, State
from jobrunner.store.database import Database
from jobrunner.store.queries import query
from jobrunner.store.rows import Connection


class Mints:
    def __init__(self, database: Database) -> None:
        self._db = database

    async def find(self, key: str) -> Mint | None:
        return _mint_of(await self._db.row("mint", key))

    async def at(self, signer: Signer, nonce: int) -> Mint | None:
        """Whose the nonce is."""
        return _mint_of(await self._db.row("mint_at", signer.chain_id, signer.genesis, signer.address, nonce))

    async def sign(self, order: Order, signer: Signer, floor: int, sign: Sign) -> tuple[Mint, bool]:
        """The order's mint, and whether it was signed just now, at the first free nonce from `floor` on.

        Its job can be cancelled no more. Raises TransientError `job_lost` where it was cancelled already, or ended.
        """

        async def work(connection: Connection) -> tuple[Mint, bool]:
            signer_id = await _lock(connection, signer)
            known = await _read(connection, order.key)
            if known is not None and known.state in ALIVE:
                return known, False
            if order.job_id is not None and not await connection.fetch(query("make_irrevocable"), order.job_id):
                raise TransientError(
                    f"Job {order.job_id} was cancelled or has ended: nothing is signed.", code="job_lost"
                )
            nonce = await connection.fetchval(query("free_nonce"), signer_id, floor)
            signed = await sign(nonce)
            call = order.to, order.data, order.gas
            await connection.execute(query("save_mint"), order.key, order.job_id, signer_id, nonce, *call)
            return await _kept(connection, order.key, signed), True

        return await self._db.transaction(work)

    async def replace(self, mint: Mint, sign: Sign) -> Mint:
        """Sign once more at the same nonce, unless somebody else did so since `mint` was read."""

        async def work(connection: Connection) -> Mint:
            await _lock(connection, mint.signer)
            now = await _read(connection, mint.order.key)
            if now is None or now.newest.hash != mint.newest.hash or now.state != "signed":
                return now or mint
            return await _kept(connection, mint.order.key, await sign(mint.newest.nonce))

        return await self._db.transaction(work)

    async def settle(self, key: str, state: State) -> None:
        await self._db.rows("settle_mint", key, state)


async def _lock(connection: Connection, signer: Signer) -> int:
    return int(await connection.fetchval(query("lock_signer"), signer.chain_id, signer.genesis, signer.address))


async def _read(connection: Connection, key: str) -> Mint | None:
    return _mint_of(await connection.fetchrow(query("mint"), key))


async def _kept(connection: Connection, key: str, signed: Signed) -> Mint:
    """The mint with one more transaction."""
    fees = signed.fees.max_wei, signed.fees.tip_wei
    await connection.execute(query("save_transaction"), signed.hash, key, signed.nonce, signed.raw, *fees)
    mint = await _read(connection, key)
    assert mint is not None  # noqa: S101  # its row is locked by us
    return mint


def _mint_of(row: asyncpg.Record | None) -> Mint | None:
    if row is None:
        return None
    return Mint(
        Order(row["key"], row["job_id"], row["target"], row["data"], row["gas"]),
        Signer(row["chain_id"], row["genesis"], row["address"]),
        row["state"],
        tuple(_signed(each) for each in orjson.loads(row["transactions"])),
    )


def _signed(value: Any) -> Signed:
    fees = Fees(value["max_wei"], value["tip_wei"])
    return Signed(value["hash"], value["raw"], value["nonce"], fees, float(value["age_s"]))
