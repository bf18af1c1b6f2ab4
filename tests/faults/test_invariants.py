"""The checker finds a planted violation of every invariant, and none where nothing is wrong."""

import hashlib
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7
from vyper import compile_code

from jobrunner import contract
from jobrunner.providers.ethereum.abi import call, encoded
from jobrunner.runtime import SANDBOX_MINT
from jobrunner.sandbox.ledger import Purchase
from tests.faults.chain import CHAIN
from tests.faults.invariants import BOUNDS_S, Recovery
from tests.faults.world import CANARIES, World
from tests.integration.drivers.ethereum.conftest import ACCOUNT, OWNER

OTHER = "11111111-1111-7111-8111-111111111111"
CLAIM = "SET audit.who = 'holder'; UPDATE jobrunner.jobs SET status = 'in_progress', fence = fence + 1, worker_id = {w}"
FAIL = "UPDATE jobrunner.jobs SET status = 'failed' WHERE id = '{o}'"
REOPEN = "UPDATE jobrunner.jobs SET status = 'pending' WHERE id = '{o}'"

ROWS = {
    "an outcome that changed after its end": ("I1", "UPDATE jobrunner.jobs SET result = '{{}}' WHERE id = '{done}'"),
    "a job that ended twice": ("I1 I2", "UPDATE jobrunner.jobs SET status = 'failed' WHERE id = '{done}'"),
    "a failed job that nobody asked to run again": ("I1", f"{FAIL}; {REOPEN}"),
    "an end without a claim": ("I2", "UPDATE jobrunner.jobs SET status = 'completed' WHERE id = '{o}'"),
    "a fence that fell": ("I2", "UPDATE jobrunner.jobs SET fence = fence - 1 WHERE id = '{o}'"),
    "a row deleted before its end": ("I2", "DELETE FROM jobrunner.jobs WHERE id = '{o}'"),
    "an artifact whose row has another hash": ("I4", "UPDATE jobrunner.artifacts SET sha256 = 'ab'"),
    "a job that shows an artifact without a row": ("I4", "DELETE FROM jobrunner.artifacts"),
    "an end written by another than the holder": (
        "I6",
        CLAIM + " WHERE id = '{o}'; SET audit.who = 'zombie';"
        "UPDATE jobrunner.jobs SET status = 'completed', worker_id = NULL WHERE id = '{o}'",
    ),
    "a step of an old fence": (
        "I6",
        CLAIM + " WHERE id = '{o}'; INSERT INTO jobrunner.steps (job_id, name, state, sequence, fence)"
        "SELECT id, 'draw', 'done', 1, fence - 1 FROM jobrunner.jobs WHERE id = '{o}'",
    ),
    "a step of a job that had ended": ("I6", "UPDATE jobrunner.steps SET state = 'done' WHERE job_id = '{done}'"),
    "a secret in a row": ("I8", f'UPDATE jobrunner.jobs SET params = \'{{{{"key": "{CANARIES[0]}"}}}}\''),
}
"""What is planted in Postgres: which invariants that breaks, and the statements. `o` is a job that still waits."""

SENT_TWICE = """
INSERT INTO jobrunner.signers (chain_id, genesis, address) VALUES (31337, '0x00', '0x00');
INSERT INTO jobrunner.mints (key, signer_id, nonce, state, data, gas)
  SELECT 'key', id, 2, 'signed', '0x', 21000 FROM jobrunner.signers;
INSERT INTO jobrunner.transactions (mint_key, hash, number, nonce, raw, max_wei, tip_wei)
  VALUES ('key', '0x01', 1, 1, '0x', 1, 1), ('key', '0x02', 2, 2, '0x', 1, 1);
"""


async def test_nothing_is_found_where_nothing_is_wrong_and_every_planted_violation_is(unjudged: World) -> None:
    world = unjudged
    async with world.api() as http, world.working():
        [done] = await world.take(http, "a harbour")
        await world.all_end(status="completed")
    assert await world.violations() == []
    await world.database.execute(
        "ALTER TABLE jobrunner.jobs DISABLE TRIGGER guard_transition;"
        f"INSERT INTO jobrunner.jobs (id, task, fence) VALUES ('{OTHER}', 'draw', 5)"
    )
    found = {what: await with_rows(world, planted, done) for what, (_, planted) in ROWS.items()}
    assert found == {what: broken for what, (broken, _) in ROWS.items()}
    sold = Purchase("replicate", "p2", "", "a harbour", 0.0, 0.0)
    assert await broken(world, accepted=[uuid7()]) == "I1"
    assert await broken(world, accepted=[UUID(OTHER)]) == "I1"
    assert await broken(world, purchases=[sold, sold]) == "I3"
    assert await broken(world, purchases=[Purchase("replicate", "p3", "", "never intended", 0.0, 0.0)]) == "I3"
    for what, bound_s in BOUNDS_S.items():
        assert await broken(world, recoveries=[Recovery(what, bound_s + 0.1)]) == "I7"
    assert await broken(world, said={"a page": f"key={CANARIES[-1]}"}) == "I8"
    await world.store.set("jobrunner:some", CANARIES[1])
    assert await broken(world) == "I8"


async def test_a_file_that_is_cut_or_gone_is_found(unjudged: World) -> None:
    world = unjudged
    async with world.api() as http, world.working():
        await world.take(http, "a harbour")
        await world.all_end(status="completed")
    file = world.directory / "artifacts" / await world.database.fetchval("SELECT key FROM jobrunner.artifacts")
    half = file.read_bytes()[:-100]
    file.write_bytes(half)
    digest = hashlib.sha256(half).hexdigest()
    await world.database.execute("UPDATE jobrunner.artifacts SET sha256 = $1", digest)
    assert await broken(world) == "I4"
    file.unlink()
    assert await broken(world) == "I4"


async def test_only_a_task_that_says_so_may_buy_again_and_only_what_it_meant_to(unjudged: World) -> None:
    """The first answer is lost, by a provider that has neither list nor key."""
    world = unjudged
    await world.fault(provider="openai", on="create", fail="reset", count=1)
    async with world.api() as http, world.working(routes={"image": ("openai:gpt-image-2",)}):
        await world.take(http, "a harbour", task="draw_at_any_price")
        await world.all_end(status="completed", fence=2, failures=1)
    assert world.bought() == ["a harbour"] * 2
    assert await world.violations() == []
    assert await broken(world, resubmit=()) == "I3"
    assert await broken(world, purchases=world.purchases() * 2) == "I3"


async def test_a_mint_that_was_sent_at_two_nonces_is_found(unjudged: World) -> None:
    world = unjudged
    await world.database.execute(SENT_TWICE)
    both = [Purchase(CHAIN, transaction, "", "", 0.0, 0.0) for transaction in ("0x01", "0x02")]
    assert await broken(world, purchases=both[:1]) == ""
    assert await broken(world, purchases=both) == "I3"


async def test_two_tokens_under_one_key_are_found_on_the_chain(unjudged: World) -> None:
    """Minted past jobrunner, in a collection without the guard that ours has."""
    world, guard, key = unjudged, '    assert self.token_of[key] == 0, "mint key used"\n', "ab" * 32
    assert guard in contract.source()
    lax = compile_code(contract.source().replace(guard, ""), output_formats=["bytecode"])["bytecode"]
    deployed = await mined(world, data=lax + encoded(["string", "string"], ["Lax", "LAX"]).hex())
    world.values["mint"] = {**world.values["mint"], "contract": deployed["contractAddress"]}
    mint = call(SANDBOX_MINT["function"], [OWNER, "ipfs://bafkreitoken", key])
    for _ in range(2):
        await mined(world, to=world.chain.contract, data=mint)
    assert await world.chain.tokens() == [(key, "1"), (key, "2")]
    found = await world.violations()
    assert f"I5 mint key {key} has 2 tokens" in found
    assert [line.split()[0] for line in found] == ["I3", "I3", "I3", "I5"], "no job had committed to a transaction"


async def mined(world: World, **transaction: str) -> dict[str, Any]:
    """Sent from the minter's account and mined at once: its receipt."""
    sent = await world.chain.ask("eth_sendTransaction", {"from": ACCOUNT, **transaction})
    await world.chain.ask("evm_mine")
    receipt = await world.chain.ask("eth_getTransactionReceipt", sent)
    assert receipt["status"] == "0x1"
    return dict(receipt)


async def broken(world: World, **planted: Any) -> str:
    """Which invariants the checker finds broken."""
    return " ".join(sorted({line.split()[0] for line in await world.violations(**planted)}))


async def with_rows(world: World, planted: str, done: UUID) -> str:
    worker = await world.database.fetchval("SELECT id FROM jobrunner.workers")
    change = world.database.transaction()
    await change.start()
    try:
        await world.database.execute(planted.format(done=done, o=OTHER, w=f"'{worker}'"))
        return await broken(world)
    finally:
        await change.rollback()
