"""The ledger of what is signed: nonces without gaps, bytes that are never signed twice, jobs past recall."""

import asyncio
import hashlib
from dataclasses import replace
from itertools import count
from unittest.mock import Mock
from uuid import UUID

import asyncpg
import pytest

from jobrunner.client import Client
from jobrunner.errors import Conflict, TransientError
from jobrunner.job import Status
from jobrunner.providers.ethereum.fees import Fees
from jobrunner.providers.ethereum.ledger import Mint, Order, Sign, Signed, Signer, State
from jobrunner.store.postgres import Store
from tests.integration.store.conftest import held, row, somebody_waits, worker

SIGNER = Signer(1, "0xgenesis", "0xAccount")
_numbers = count(1)


def order(job_id: UUID | None = None) -> Order:
    key = hashlib.sha256(str(next(_numbers)).encode()).hexdigest()
    return Order(key, job_id, "0xContract", "0xdata", 21_000)


def pen(order: Order, max_wei: int = 100) -> Sign:
    async def sign(nonce: int) -> Signed:
        digest = hashlib.sha256(f"{order.key}{nonce}{max_wei}".encode()).hexdigest()
        return Signed(f"0x{digest}", f"0xraw{digest}", nonce, Fees(max_wei, 1))

    return sign


async def signed(store: Store, order: Order, floor: int = 0, signer: Signer = SIGNER) -> Mint:
    mint, _ = await store.mints.sign(order, signer, floor, pen(order))
    return mint


async def test_what_is_signed_is_kept_word_for_word(store: Store) -> None:
    job = await held(store, await worker(store))
    wanted = order(job.id)
    mint, fresh = await store.mints.sign(wanted, SIGNER, 7, pen(wanted))
    assert fresh
    assert (mint.order, mint.signer, mint.state, mint.newest.nonce) == (wanted, SIGNER, "signed", 7)
    assert replace(mint.newest, age_s=0.0) == await pen(wanted)(7)
    assert 0 <= mint.newest.age_s < 60
    found, at = await store.mints.find(wanted.key), await store.mints.at(SIGNER, 7)
    assert found is not None
    assert at is not None
    assert found.order == at.order == wanted
    assert await store.mints.find("other") is None
    assert await store.mints.at(SIGNER, 8) is None


async def test_an_order_is_signed_once(store: Store) -> None:
    wanted = order()
    answers = await asyncio.gather(*(store.mints.sign(wanted, SIGNER, 0, pen(wanted, fee)) for fee in range(8)))
    assert sorted(fresh for _, fresh in answers) == [False] * 7 + [True]
    assert len({mint.newest.raw for mint, _ in answers}) == 1


async def test_nonces_are_given_out_one_by_one_for_each_account_and_chain(store: Store) -> None:
    mints = await asyncio.gather(*(signed(store, order(), 5) for _ in range(20)))
    assert sorted(mint.newest.nonce for mint in mints) == list(range(5, 25))
    for other in (replace(SIGNER, chain_id=2), replace(SIGNER, genesis="0xnew"), replace(SIGNER, address="0xB")):
        assert (await signed(store, order(), 5, other)).newest.nonce == 5


async def test_the_chain_may_be_ahead_of_us(store: Store) -> None:
    assert [(await signed(store, order(), floor)).newest.nonce for floor in (0, 9, 3, 3)] == [0, 9, 3, 4]


async def test_a_nonce_that_was_given_back_is_the_next_one(store: Store) -> None:
    refused, _ = order(), await signed(store, order())
    await signed(store, refused)
    await signed(store, order())
    await store.mints.settle(refused.key, "refused")
    assert (await signed(store, order())).newest.nonce == 1
    again = await signed(store, refused)
    assert (again.state, again.newest.nonce, len(again.transactions)) == ("signed", 3, 2)


async def test_the_same_bytes_may_be_signed_again_at_a_nonce_that_was_given_back(store: Store) -> None:
    refused = order()
    await signed(store, refused)
    await store.mints.settle(refused.key, "refused")
    again = await signed(store, refused)
    assert (again.state, again.newest.nonce, len(again.transactions)) == ("signed", 0, 1)


async def test_of_many_who_replace_a_transaction_one_does(store: Store) -> None:
    wanted = order()
    mint = await signed(store, wanted)
    await asyncio.gather(*(store.mints.replace(mint, pen(wanted, 200 + fee)) for fee in range(8)))
    now = await store.mints.find(wanted.key)
    assert now is not None
    assert [each.nonce for each in now.transactions] == [0, 0]
    assert now.transactions[0].hash == mint.newest.hash
    assert now.newest.fees.max_wei >= 200


async def test_what_is_mined_is_not_replaced(store: Store) -> None:
    wanted = order()
    mint = await signed(store, wanted)
    await store.mints.settle(wanted.key, "mined")
    assert len((await store.mints.replace(mint, pen(wanted, 200))).transactions) == 1


async def test_a_signature_that_fails_takes_no_nonce(store: Store) -> None:
    async def broken(nonce: int) -> Signed:
        raise TransientError("no pen")

    with pytest.raises(TransientError, match="no pen"):
        await store.mints.sign(order(), SIGNER, 0, broken)
    assert (await signed(store, order())).newest.nonce == 0


async def test_two_orders_may_sign_the_same_bytes_one_after_the_other(store: Store) -> None:
    async def same(nonce: int) -> Signed:
        return Signed("0xsame", f"0x{nonce}", nonce, Fees(1, 1))

    first, second = order(), order()
    await store.mints.sign(first, SIGNER, 0, same)
    await store.mints.settle(first.key, "refused")
    mint, _ = await store.mints.sign(second, SIGNER, 0, same)
    assert (mint.order, mint.newest.hash) == (second, "0xsame")


def client(store: Store) -> Client:
    return Client(store, Mock(), Mock(), {}, Mock(), Mock())  # a refused cancel tells nobody


async def test_a_job_that_has_signed_cannot_be_cancelled(store: Store) -> None:
    job = await held(store, await worker(store))
    await signed(store, order(job.id))
    with pytest.raises(Conflict, match=r"too late to cancel.*The job goes on"):
        await client(store).cancel(job.id)
    now = await row(store, job.id)
    assert (now.status, now.cancel_requested_at) == (Status.IN_PROGRESS, None)


async def test_a_job_that_is_cancelled_signs_nothing(store: Store) -> None:
    job = await held(store, await worker(store))
    assert await store.cancel(job.id, {}) is not None
    wanted = order(job.id)
    with pytest.raises(TransientError, match="nothing is signed") as error:
        await signed(store, wanted)
    assert error.value.code == "job_lost"
    assert await store.mints.find(wanted.key) is None


async def test_a_cancel_that_meets_a_signature_waits_and_is_too_late(
    store: Store, database: asyncpg.Connection
) -> None:
    job = await held(store, await worker(store))
    signing, go = asyncio.Event(), asyncio.Event()
    wanted = order(job.id)

    async def slow(nonce: int) -> Signed:
        signing.set()
        await go.wait()
        return await pen(wanted)(nonce)

    minting = asyncio.create_task(store.mints.sign(wanted, SIGNER, 0, slow))
    await signing.wait()
    cancelling = asyncio.create_task(store.cancel(job.id, {}))
    await somebody_waits(database)
    go.set()
    await minting
    assert await cancelling is None


@pytest.mark.parametrize(
    ("state", "cancelled"), [("refused", True), ("reverted", True), ("taken", True), ("mined", False)]
)
async def test_what_came_to_nothing_gives_its_job_back_to_be_cancelled(
    store: Store, state: State, cancelled: bool
) -> None:
    job = await held(store, await worker(store))
    wanted = order(job.id)
    await signed(store, wanted)
    await store.mints.settle(wanted.key, state)
    assert (await store.cancel(job.id, {}) is not None) == cancelled
