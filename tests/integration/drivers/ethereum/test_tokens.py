"""One token for one order, on a real EVM."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest
from pydantic import SecretStr

from jobrunner.errors import ConfigError, PermanentError, TransientError
from jobrunner.events import Event, subscribe
from jobrunner.providers.driver import Finished
from jobrunner.request import DeployRequest
from jobrunner.sandbox.eth.accounts import CHAIN_ID, COLLECTION, DEV_KEYS
from jobrunner.work import Handle
from tests.integration.drivers.ethereum.conftest import (
    OWNER,
    Mintery,
    Proxy,
    ended,
    minted,
    order,
    submit,
)


async def test_a_token_is_minted_for_its_owner(mintery: Mintery) -> None:
    request, driver = await order(mintery.store), mintery.driver()
    meta = await minted(driver, request)
    receipt = await mintery.ask("eth_getTransactionReceipt", meta["transaction"])
    assert meta == {
        "token_id": "1",
        "owner": OWNER.lower(),
        "contract": COLLECTION,
        "chain_id": CHAIN_ID,
        "transaction": receipt["transactionHash"],
        "block": int(receipt["blockNumber"], 16),
    }
    assert int(await mintery.ask("eth_blockNumber"), 16) >= meta["block"] + 1
    mint = await mintery.store.mints.find(request.key)
    assert mint is not None
    assert (mint.state, len(mint.transactions)) == ("mined", 1)
    handle = Handle("ethereum", request.key)
    assert [await driver.cancel(handle), await driver.cancel(replace(handle, id="other"))] == ["too_late", "unknown"]


async def test_one_order_by_two_workers_at_once_is_one_token(mintery: Mintery) -> None:
    request = await order(mintery.store)
    metas = await asyncio.gather(*(minted(mintery.driver(), request) for _ in range(4)))
    assert len({meta["token_id"] for meta in metas}) == await mintery.tokens() == 1


async def test_an_order_that_comes_again_is_the_same_token(mintery: Mintery, database_url: str) -> None:
    request, driver = await order(mintery.store), mintery.driver()
    first = await minted(driver, request)
    assert await minted(driver, request) == first
    connection = await asyncpg.connect(database_url)
    await connection.execute("TRUNCATE jobrunner.mints CASCADE")
    await connection.close()
    found = await minted(driver, request)
    assert found == {key: first[key] for key in ("chain_id", "contract", "token_id", "owner")}
    assert await mintery.tokens() == 1


async def test_a_revert_shows_its_reason(mintery: Mintery) -> None:
    stranger = mintery.driver(signing_key=SecretStr(DEV_KEYS[1]))
    with pytest.raises(PermanentError, match="not a minter") as error:
        await submit(stranger, await order(mintery.store))
    assert error.value.code == "reverted"


async def test_a_mistyped_address_is_refused(mintery: Mintery) -> None:
    with pytest.raises(PermanentError, match="mistyped") as error:
        await submit(mintery.driver(), await order(mintery.store, OWNER.replace("C8", "c8")))
    assert error.value.code == "unsupported_input"


async def test_a_contract_is_deployed_and_minted_with(mintery: Mintery) -> None:
    driver = mintery.driver()
    request = DeployRequest("Tales", "TALE", "ab" * 32)
    deployed = [await ended(driver, await submit(driver, request)) for _ in range(2)]
    assert isinstance(deployed[0], Finished)
    assert deployed[1] == deployed[0]
    address = deployed[0].meta["contract"]
    meta = await minted(mintery.driver(contract=address), await order(mintery.store))
    assert (meta["contract"], meta["token_id"], await mintery.tokens()) == (address, "1", 0)


async def test_neither_the_key_nor_the_nodes_url_is_shown(mintery: Mintery, proxy: Proxy, database_url: str) -> None:
    heard: list[Event] = []
    driver = mintery.driver(f"{proxy.url}/v3/canary-of-the-url?apikey=canary-in-the-query")
    said = "no project canary-of-the-url, no key canary-in-the-query"
    for _ in range(2):
        proxy.lie("eth_sendRawTransaction", error={"code": -32001, "message": said})
    with subscribe(heard.append):
        request = await order(mintery.store)
        await minted(driver, request)
        proxy.lie("eth_chainId", error={"code": -32001, "message": said})
        with pytest.raises(TransientError) as error:
            await submit(driver, request)
    connection = await asyncpg.connect(database_url)
    rows = [
        str(row)
        for table in ("jobs", "steps", "mints", "transactions", "signers")
        for row in await connection.fetch(f"SELECT * FROM jobrunner.{table}")
    ]
    await connection.close()
    everything = " ".join([str(error.value), repr(error.value), repr(heard), repr(vars(driver)), *rows])
    assert heard
    assert "canary" not in everything
    assert DEV_KEYS[0][2:] not in everything


def test_what_is_no_key_is_told_and_not_shown(mintery: Mintery) -> None:
    with pytest.raises(ConfigError, match=r"mint\.signing_key") as error:
        mintery.driver(signing_key=SecretStr("canary"))
    assert "canary" not in str(error.value)
