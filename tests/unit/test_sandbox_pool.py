"""The pool of the sandbox's chain: who may enter, who takes whose place, and who is mined next."""

from typing import Any

import pytest

from jobrunner.sandbox.eth.rpc import RpcError
from jobrunner.sandbox.eth.transaction import MAX_BYTES, MAX_GAS, Transaction, check, choose, next_nonce

ADA, BOB = "0xA", "0xB"
RICH = 10**18
LIMIT = 30_000_000


def tx(nonce: int, sender: str = ADA, *, tip: int = 10, cap: int = 100, gas: int = 21_000, **more: Any) -> Transaction:
    """`more` is of the transaction itself, but `value` (wei) and `chain`, which are of what it says."""
    shown = {
        "hash": f"{sender}-{nonce}-{cap}-{tip}",
        "from": sender,
        "nonce": hex(nonce),
        "gas": hex(gas),
        "gasPrice": hex(cap),
        "maxFeePerGas": hex(cap),
        "maxPriorityFeePerGas": hex(tip),
        "value": hex(more.pop("value", 0)),
        "chainId": more.pop("chain", "0x7a69"),
    }
    return Transaction(more.pop("raw", b""), {name: value for name, value in shown.items() if value}, **more)


def chosen(pending: list[Transaction], *, base_fee: int = 50, now: float = 0.0, gas_limit: int = LIMIT) -> list[str]:
    nonces = {ADA: 1, BOB: 0}
    return [each.hash for each in choose(pending, nonces, base_fee=base_fee, gas_limit=gas_limit, now=now)]


@pytest.mark.parametrize(
    ("transaction", "words"),
    [
        (tx(4), "nonce too low: next nonce 5, tx nonce 4"),
        (tx(5, value=RICH), "insufficient funds for gas * price + value"),
        (tx(5, gas=20_999, floor_gas=21_000), "intrinsic gas too low: gas 20999, minimum needed 21000"),
        (tx(5, gas=MAX_GAS + 1), "transaction gas limit too high"),
        (tx(5, tip=101), "max priority fee per gas higher than max fee per gas"),
        (tx(5, tip=0), "transaction underpriced: gas tip cap 0, minimum needed 1"),
        (tx(5, chain="0x1"), "invalid sender: invalid chain id for signer: have 1 want 31337"),
        (tx(5, chain=None), "only replay-protected (EIP-155) transactions allowed over RPC"),
        (tx(5, raw=bytes(MAX_BYTES + 1)), "oversized data"),
    ],
)
def test_what_may_not_enter_is_told_in_geths_words(transaction: Transaction, words: str) -> None:
    with pytest.raises(RpcError) as refused:
        check(transaction, nonce=5, balance=RICH, pending=[])
    assert words in refused.value.message
    assert refused.value.code == -32000


def test_a_replacement_bids_a_tenth_more_on_both_fees() -> None:
    waiting = [tx(5, tip=10, cap=100)]
    for bid in (tx(5, tip=11, cap=109), tx(5, tip=10, cap=110)):
        with pytest.raises(RpcError, match="replacement transaction underpriced"):
            check(bid, nonce=5, balance=RICH, pending=waiting)
    with pytest.raises(RpcError, match="already known"):
        check(waiting[0], nonce=5, balance=RICH, pending=waiting)
    assert check(tx(5, tip=11, cap=110), nonce=5, balance=RICH, pending=waiting) == waiting[0]
    assert check(tx(6), nonce=5, balance=RICH, pending=waiting) is None


def test_what_is_queued_counts_against_the_balance_but_not_what_is_replaced() -> None:
    waiting, enough = [tx(5)], tx(5).cost + tx(6).cost
    assert check(tx(6), nonce=5, balance=enough, pending=waiting) is None
    with pytest.raises(RpcError, match="insufficient funds"):
        check(tx(6), nonce=5, balance=enough - 1, pending=waiting)
    bid = tx(5, tip=11, cap=110)
    assert check(bid, nonce=5, balance=bid.cost, pending=waiting) == waiting[0]


def test_the_next_nonce_is_behind_what_waits_without_a_gap() -> None:
    assert next_nonce(5, []) == 5
    assert next_nonce(5, [tx(5), tx(6), tx(8)]) == 7


def test_each_sender_is_mined_in_the_order_of_nonces() -> None:
    first, second, other, gapped = tx(1), tx(2), tx(0, BOB), tx(2, BOB)
    assert chosen([second, first, gapped, other]) == [other.hash, first.hash, second.hash]


def test_what_is_cheap_stuck_slow_or_behind_such_a_one_waits() -> None:
    assert chosen([tx(1, cap=49), tx(2)]) == []
    assert chosen([tx(1, fate="stuck"), tx(2)]) == []
    assert chosen([tx(1, ready_at=10.0)], now=9.9) == []
    assert chosen([tx(1, ready_at=10.0)], now=10.0) == [tx(1).hash]
    assert chosen([tx(1, cap=49)], base_fee=49) == [tx(1, cap=49).hash]


def test_a_block_has_room_for_its_gas_limit() -> None:
    first, second, small = tx(1, gas=60), tx(2, gas=60), tx(0, BOB, gas=40)
    assert chosen([first, second, small], gas_limit=100) == [small.hash, first.hash]
