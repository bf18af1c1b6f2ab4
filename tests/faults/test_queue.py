"""Rows: 30 submits with one idempotency key at once; Redis and Postgres disagree."""

import asyncio
from uuid import uuid4

from tests.faults.world import World

GARBAGE = [b"", b"\x80\x04pickle", b"null", b'{"f": ""}']


async def test_30_submits_with_one_idempotency_key_at_once(world: World) -> None:
    async with world.api() as one, world.api() as other, world.working():
        submits = (world.submit(http, "the only one", idempotency_key="k") for http in (one, other) * 15)
        answers = await asyncio.gather(*submits)
        assert {answer.status for answer in answers} == {202}
        assert len(set(world.accepted)) == 1
        await world.all_end(status="completed", fence=1)
        refused = await world.submit(one, "another", idempotency_key="k")
    assert refused.status == 422
    assert await world.database.fetchval("SELECT count(*) FROM jobrunner.jobs") == 1
    assert world.bought() == ["the only one"]


async def test_redis_and_postgres_disagree(world: World) -> None:
    prompts = [f"scene {number}" for number in range(6)]
    async with world.api() as http:
        jobs = await world.take(http, *prompts)
        await world.queued(*jobs)
        for job in jobs[:2]:
            await world.store.delete(f"arq:job:{job}")
        await world.store.zrem("arq:queue", *map(str, jobs[2:4]))
        for payload in GARBAGE:
            ghost = uuid4()
            await world.store.zadd("arq:queue", {str(ghost): 1})
            await world.store.set(f"arq:job:{ghost}", payload)
        await world.store.zadd("arq:queue", {b"\xff no id": 1, str(jobs[4]).upper().encode(): 1})
        async with world.working():
            await world.all_end(status="completed", fence=1, failures=0, crashes=0)
            await world.queued()
    assert world.bought() == prompts
