"""The pure parts of minting: the ABI against known vectors, fees, and what nodes mean by their errors."""

import sys
from typing import Any
from uuid import UUID

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.errors import ConfigError, PermanentError, RateLimited, TransientError
from jobrunner.providers.ethereum import abi
from jobrunner.providers.ethereum.chain import TRANSFER, Receipt, Token
from jobrunner.providers.ethereum.fees import GWEI, Fees, bumped, offered
from jobrunner.providers.ethereum.ledger import Order
from jobrunner.providers.ethereum.refusals import Refused, refused
from jobrunner.providers.ethereum.wallet import wallet_of
from jobrunner.request import MintRequest
from jobrunner.runtime import SANDBOX_KEY, SANDBOX_MINT
from jobrunner.sandbox.eth.accounts import CHAIN_ID, COLLECTION, DEV_KEYS
from jobrunner.sandbox.eth.node import API_KEY
from jobrunner.settings.tables import Mint
from tests.unit.test_imports import loaded_by

CAP = Fees(100 * GWEI, 3 * GWEI)
ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
"""From EIP-55."""


@pytest.mark.parametrize(
    ("function", "selector"),
    [("transfer(address,uint256)", "a9059cbb"), ("ownerOf(uint256)", "6352211e"), ("baz(uint32,bool)", "cdcd77c0")],
)
def test_a_function_is_called_by_the_hash_of_its_signature(function: str, selector: str) -> None:
    assert abi.keccak(function.encode())[:4].hex() == selector


def test_a_call_is_encoded_as_solidity_documents_it() -> None:
    data = abi.call("mint(address,string,bytes32)", [ADDRESS, "dave", "ab" * 32])
    words = [data[10:][at : at + 64] for at in range(0, len(data) - 10, 64)]
    assert words == [
        "000000000000000000000000" + ADDRESS[2:].lower(),
        f"{0x60:064x}",
        "ab" * 32,
        f"{4:064x}",
        "64617665" + "0" * 56,
    ]


@given(st.text(max_size=100), st.text(max_size=100), st.binary(min_size=32, max_size=32))
def test_the_encoding_is_eth_abis(first: str, second: str, word: bytes) -> None:
    types = ["string", "address", "bytes32", "string"]
    ours = abi.encoded(types, [first, ADDRESS, word.hex(), second])
    assert ours == encode(types, [first, ADDRESS, word, second])


@pytest.mark.parametrize("address", [ADDRESS, ADDRESS.lower(), "0x" + ADDRESS[2:].upper()])
def test_an_address_may_have_a_checksum(address: str) -> None:
    assert abi.checked(address) == address


@pytest.mark.parametrize("address", [ADDRESS.replace("aA", "Aa"), ADDRESS[:-1], "vitalik.eth"])
def test_a_mistyped_address_is_none(address: str) -> None:
    with pytest.raises(ValueError, match=r"no address|mistyped"):
        abi.checked(address)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("0x08c379a0" + (encode(["string"], ["mint key used"])).hex(), "mint key used"),
        ("0x4e487b71" + (encode(["uint256"], [0x11])).hex(), "panic 0x11"),
        ("0x08c379a0", None),
        ("0x", None),
        (None, None),
        ("no hex", None),
    ],
)
def test_a_revert_says_why(data: Any, reason: str | None) -> None:
    assert abi.reason(data) == reason


@pytest.mark.parametrize(
    ("base", "tip", "expected"),
    [
        (10, 1, Fees(21 * GWEI, 1 * GWEI)),
        (10, 9, Fees(23 * GWEI, 3 * GWEI)),
        (60, 1, Fees(100 * GWEI, 1 * GWEI)),
        (100, 1, Fees(100 * GWEI, 1 * GWEI)),
        (101, 1, None),
    ],
)
def test_fees_cover_twice_the_base_fee_within_the_cap(base: int, tip: int, expected: Fees | None) -> None:
    assert offered(base * GWEI, tip * GWEI, CAP) == expected


def test_a_replacement_offers_an_eighth_more_or_what_is_offered_now() -> None:
    assert bumped(Fees(80, 8), Fees(10, 1), CAP) == Fees(90, 9)
    assert bumped(Fees(80, 8), Fees(500, 100), CAP) == Fees(500, 100)
    assert bumped(Fees(1, 1), Fees(1, 1), CAP) == Fees(2, 2)


@pytest.mark.parametrize("last", [Fees(90 * GWEI, GWEI), Fees(GWEI, 3 * GWEI)])
def test_no_replacement_offers_more_than_the_cap(last: Fees) -> None:
    assert bumped(last, Fees(GWEI, GWEI), CAP) is None


@pytest.mark.parametrize(
    ("code", "words", "meaning"),
    [
        (-32000, "already known", "known"),
        (-32000, "Known transaction: 0xabc", "known"),
        (-32003, "transaction underpriced", "low_fee"),
        (-32000, "max fee per gas less than block base fee: address 0x1", "low_fee"),
        (-32000, "nonce too low: next nonce 5, tx nonce 4", "nonce_used"),
        (-32000, "Transaction nonce too low. Expected nonce to be 5 but got 4.", "nonce_used"),
        (-32000, "the tx doesn't have the correct nonce. account has nonce of: 5", "nonce_used"),
        (-32000, "replacement transaction underpriced", "weak"),
        (-32000, "Replacement transaction underpriced. A gasPrice/maxFeePerGas of at least 2 is needed", "weak"),
        (-32003, "insufficient funds for gas * price + value", "no_money"),
        (-32000, "Sender doesn't have enough funds to send tx.", "no_money"),
        (-32000, "intrinsic gas too low", "gas"),
        (-32000, "Transaction requires at least 21000 gas but got 1", "gas"),
        (-32000, "exceeds transaction gas cap of 16777216", "gas"),
        (-32000, "invalid chain id for signer: have 1 want 5", "wrong_chain"),
        (-32602, "Trying to send a transaction with an invalid chainId.", "wrong_chain"),
        (-32000, "txpool is full", "pool_full"),
        (-32000, "account limit exceeded", "pool_full"),
        (3, "execution reverted: mint key used", "reverted"),
        (-32000, "VM Exception while processing transaction: revert mint key used", "reverted"),
        (3, "something new", "reverted"),
        (-32003, "transaction rejected", "rejected"),
        (-32603, "internal error", "other"),
    ],
)
def test_clients_word_it_differently(code: int, words: str, meaning: str) -> None:
    """As geth, Hardhat and Ganache do."""
    error = refused({"code": code, "message": words})
    assert isinstance(error, Refused)
    assert (error.meaning, error.provider_code, error.retryable) == (meaning, str(code), True)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-32005, "daily request count exceeded"),
        (-32016, "over rate limit"),
        (429, "Too Many Requests"),
        (1, "limit exceeded"),
    ],
)
def test_a_rate_limit_comes_as_an_error_too(code: int, words: str) -> None:
    error = refused({"code": code, "message": words}, 7.0)
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 7.0


@pytest.mark.parametrize(
    "error", ["a text", None, 7, {}, {"message": None, "data": [1]}, {"code": {}, "message": "\0"}]
)
def test_an_error_of_any_shape_is_one(error: Any) -> None:
    assert isinstance(refused(error), TransientError)


def test_a_reason_in_the_data_is_shown() -> None:
    data = "0x08c379a0" + encode(["string"], ["not a minter"]).hex()
    for wrapped in (data, {"data": data}):
        error = refused({"code": 3, "message": "execution reverted", "data": wrapped})
        assert "not a minter" in str(error)
        assert isinstance(error, Refused)
        judged = error.judged()
        assert isinstance(judged, PermanentError)
        assert judged.code == "reverted"


def log(**changes: Any) -> dict[str, Any]:
    topics = [TRANSFER, "0x" + "0" * 64, "0x" + ADDRESS[2:].lower().rjust(64, "0"), "0x" + "f" * 64]
    return {"address": COLLECTION.lower(), "topics": topics} | changes


def minted(*logs: dict[str, Any]) -> Token | None:
    return Receipt("0x1", 1, 1, good=True, fields={"logs": logs}).minted(Order("", None, COLLECTION, ""))


def test_the_token_is_a_decimal_string_of_any_size() -> None:
    assert TRANSFER[2:] == abi.keccak(b"Transfer(address,address,uint256)").hex()
    assert minted(log()) == Token(str(2**256 - 1), ADDRESS.lower())


def test_only_our_contracts_erc721_mint_counts() -> None:
    topics = log()["topics"]
    assert minted(log(address=ADDRESS)) is None
    assert minted(log(topics=topics[:3])) is None
    assert minted(log(topics=[topics[0], topics[2], *topics[2:]])) is None
    assert minted() is None


def test_a_mint_key_is_the_jobs_and_the_steps() -> None:
    def key(job: int, name: str = "mint", uri: str = "a") -> str:
        return MintRequest(ADDRESS, uri, UUID(int=job), name).key

    assert len(bytes.fromhex(key(1))) == 32
    assert key(1, uri="b") == key(1)
    assert len({key(1), key(2), key(1, "second")}) == 3


def test_what_signs_is_imported_by_the_first_signature() -> None:
    modules = loaded_by("import jobrunner.runtime, jobrunner.providers.ethereum")
    assert "jobrunner.providers.ethereum.wallet" in modules
    assert not {"eth_account", "eth_hash", "eth"} & modules


def test_a_start_without_what_signs_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "eth_account", None)
    with pytest.raises(ConfigError, match=r"pip install 'jobrunner\[mint\]'"):
        wallet_of(Mint(chain_id=1, signing_key=SANDBOX_MINT["signing_key"]))
    assert wallet_of(Mint()) is None


def test_the_runtime_knows_the_sandboxs_chain() -> None:
    assert (SANDBOX_MINT["chain_id"], SANDBOX_MINT["contract"], SANDBOX_KEY) == (CHAIN_ID, COLLECTION, API_KEY)
    assert SANDBOX_MINT["signing_key"].get_secret_value() == DEV_KEYS[0]
