"""The checker finds a planted violation of every invariant, and none where nothing is wrong."""

import hashlib
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from jobrunner.sandbox.ledger import Purchase
from tests.faults.invariants import BOUNDS_S, Recovery
from tests.faults.world import CANARIES, World

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
    assert await broken(world, tokens=[("key", "1"), ("key", "2")]) == "I5"
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
