"""One token for one order, whatever happens to the node, the worker or the transaction on the way."""

import asyncio

import pytest
from pydantic import SecretStr

from jobrunner import failpoints
from jobrunner.errors import PermanentError, RateLimited, TransientError
from jobrunner.providers.driver import Failed
from jobrunner.sandbox.eth.accounts import DEV_KEYS
from tests.integration.drivers.ethereum.conftest import (
    ACCOUNT,
    Mintery,
    Proxy,
    ended,
    minted,
    order,
    submit,
)
from tests.integration.worker.conftest import until


async def test_a_worker_that_dies_between_commit_and_broadcast_leaves_one_transaction(
    mintery: Mintery, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await order(mintery.store)
    monkeypatch.setattr(failpoints, "_armed", "mint.signed:sleep")
    monkeypatch.setattr(failpoints, "_passes", 0)
    dying = asyncio.create_task(submit(mintery.driver(), request))
    signed = await until(lambda: mintery.store.mints.find(request.key))
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert await mintery.ask("eth_getTransactionByHash", signed.newest.hash) is None
    meta = await minted(mintery.driver(), request)
    assert (meta["transaction"], await mintery.tokens()) == (signed.newest.hash, 1)


@pytest.mark.parametrize("word", ["reset", "truncate", "hang", "503", "429", "drop", "reorg"])
async def test_a_broadcast_that_goes_wrong_is_repeated_with_the_same_bytes(mintery: Mintery, word: str) -> None:
    driver = mintery.driver(replace_after_s=3600, timeout_s=1.0 if word == "hang" else 60.0)
    await mintery.tokens()
    await mintery.fail(word)
    request = await order(mintery.store)
    meta = await minted(driver, request)
    mint = await mintery.store.mints.find(request.key)
    assert mint is not None
    assert [each.hash for each in mint.transactions] == [meta["transaction"]]
    assert await mintery.tokens() == 1


async def test_a_stuck_transaction_is_replaced_at_its_nonce(mintery: Mintery) -> None:
    before = await mintery.nonce()
    await mintery.fail("stuck")
    request = await order(mintery.store)
    meta = await minted(mintery.driver(), request)
    mint = await mintery.store.mints.find(request.key)
    assert mint is not None
    first, second = mint.transactions[0], mint.transactions[-1]
    assert meta["transaction"] in {each.hash for each in mint.transactions[1:]}
    assert {each.nonce for each in mint.transactions} == {before}
    assert second.fees.max_wei >= first.fees.max_wei * 1.125
    assert second.fees.tip_wei >= first.fees.tip_wei * 1.125
    assert await mintery.tokens() == 1


async def test_fees_stop_at_the_cap(mintery: Mintery) -> None:
    driver = mintery.driver(max_fee_gwei=0.001)
    with pytest.raises(TransientError, match=r"mint\.max_fee_gwei") as error:
        await submit(driver, await order(mintery.store))
    assert error.value.code == "fee_too_high"


async def test_twenty_mints_of_two_workers_make_twenty_tokens_without_a_gap(mintery: Mintery) -> None:
    before = await mintery.nonce()
    drivers = [mintery.driver(), mintery.driver()]
    requests = [await order(mintery.store) for _ in range(20)]
    metas = await asyncio.gather(*(minted(drivers[at % 2], each) for at, each in enumerate(requests)))
    mints = [await mintery.store.mints.find(each.key) for each in requests]
    assert sorted(each.newest.nonce for each in mints if each) == list(range(before, before + 20))
    assert len({meta["token_id"] for meta in metas}) == await mintery.tokens() == 20


async def test_a_gap_before_a_nonce_is_filled(mintery: Mintery, proxy: Proxy) -> None:
    """Somebody's pending transaction counted when the nonce was taken, and then was lost."""
    before = await mintery.nonce()
    proxy.lie("eth_getTransactionCount", result=hex(before + 2))
    request = await order(mintery.store)
    meta = await minted(mintery.driver(proxy.url), request)
    mint = await mintery.store.mints.find(request.key)
    assert mint is not None
    assert (meta["token_id"], mint.newest.nonce, await mintery.nonce()) == ("1", before + 2, before + 3)


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        ("insufficient funds for gas * price + value: balance 0", PermanentError, "insufficient_funds"),
        ("intrinsic gas too low", PermanentError, "gas_refused"),
        ("invalid chain id for signer", PermanentError, "wrong_chain"),
        ("transaction underpriced", TransientError, "ethereum_refused"),
        ("nonce too low: next nonce 7, tx nonce 1", TransientError, "ethereum_refused"),
    ],
)
async def test_a_transaction_that_the_node_will_not_have_leaves_no_gap(
    mintery: Mintery, proxy: Proxy, words: str, kind: type[Exception], code: str
) -> None:
    before = await mintery.nonce()
    driver, refused, following = mintery.driver(proxy.url), await order(mintery.store), await order(mintery.store)
    proxy.lie("eth_sendRawTransaction", error={"code": -32000, "message": words})
    with pytest.raises(kind, match=words[:20]) as error:
        await submit(driver, refused)
    assert getattr(error.value, "code", "") == code
    assert (await minted(driver, following))["token_id"] == "1"
    assert (await minted(driver, refused))["token_id"] == "2"
    assert await mintery.nonce() == before + 2


async def test_a_refusal_of_what_the_node_has_is_none(mintery: Mintery, proxy: Proxy) -> None:
    """Ganache says `transaction underpriced` for a duplicate."""
    request = await order(mintery.store)
    await submit(mintery.driver(), request)
    proxy.lie("eth_sendRawTransaction", error={"code": -32003, "message": "transaction underpriced"})
    assert (await minted(mintery.driver(proxy.url), request))["token_id"] == "1"


async def test_a_nonce_that_somebody_else_used_is_for_a_person(mintery: Mintery) -> None:
    request, driver = await order(mintery.store), mintery.driver(replace_after_s=3600)
    await mintery.fail("drop")
    handle = await submit(driver, request)
    await mintery.ask("eth_sendTransaction", {"from": ACCOUNT, "to": ACCOUNT, "value": "0x0"})
    await mintery.ask("evm_mine")
    failed = await ended(driver, handle)
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.error.retryable) == ("nonce_taken", False)
    assert (await minted(driver, request))["token_id"] == "1"


async def test_another_chain_is_refused_before_anything_is_signed(mintery: Mintery) -> None:
    request = await order(mintery.store)
    with pytest.raises(PermanentError, match=r"is on chain 31337, but `mint\.chain_id` is 1") as error:
        await submit(mintery.driver(chain_id=1), request)
    assert error.value.code == "wrong_chain"
    assert await mintery.store.mints.find(request.key) is None


async def test_what_was_signed_for_a_chain_that_began_anew_is_not_sent_there(mintery: Mintery, proxy: Proxy) -> None:
    request = await order(mintery.store)
    await minted(mintery.driver(), request)
    proxy.lie("eth_getBlockByNumber", result={"hash": "0x" + "ab" * 32})
    with pytest.raises(PermanentError) as error:
        await submit(mintery.driver(proxy.url), request)
    assert error.value.code == "signed_elsewhere"


async def test_another_chain_of_that_number_says_nothing_of_our_nonce(mintery: Mintery, proxy: Proxy) -> None:
    await mintery.fail("drop")
    request = await order(mintery.store)
    handle = await submit(mintery.driver(), request)
    for _ in range(2):
        proxy.lie("eth_getTransactionCount", result="0x64")
    proxy.lie("eth_getBlockByNumber", result={"hash": "0x" + "ab" * 32})
    with pytest.raises(PermanentError) as error:
        await ended(mintery.driver(proxy.url), handle)
    assert error.value.code == "signed_elsewhere"
    mint = await mintery.store.mints.find(request.key)
    assert mint is not None
    assert mint.state == "signed"


async def test_a_transaction_that_reverts_fails_and_a_retry_signs_anew(mintery: Mintery, proxy: Proxy) -> None:
    stranger = mintery.driver(proxy.url, signing_key=SecretStr(DEV_KEYS[1]))
    request = await order(mintery.store)
    for tried in (1, 2):
        proxy.lie("eth_estimateGas", result="0x30d40")
        failed = await ended(stranger, await submit(stranger, request))
        assert isinstance(failed, Failed)
        assert failed.error.code == "reverted"
        mint = await mintery.store.mints.find(request.key)
        assert mint is not None
        assert (mint.state, [each.nonce for each in mint.transactions]) == ("reverted", list(range(tried)))


async def test_a_rate_limit_under_http_200_is_one(mintery: Mintery, proxy: Proxy) -> None:
    proxy.lie("eth_estimateGas", error={"code": -32005, "message": "daily request count exceeded"})
    with pytest.raises(RateLimited):
        await submit(mintery.driver(proxy.url), await order(mintery.store))
