"""SIGTERM while a server hangs: the worker leaves all the same, and what it held is rescued."""

import asyncio

from jobrunner.settings.tables import Worker
from tests.faults.world import World


async def test_sigterm_while_postgres_hangs(world: World) -> None:
    world.values["worker"]["drain_s"] = Worker().drain_s
    await world.fault(on="poll", fail="503")
    async with world.api() as http, world.process("worker") as worker:
        await world.take(http, "one", "two")
        await world.bound()
        world.postgres.fall_silent()
        async with world.recovering("drained"):
            await asyncio.to_thread(worker.stop)
        world.postgres.mend()
        await world.no_faults()
        async with world.process("worker"):
            await world.all_end(status="completed", failures=0)
    assert world.bought() == ["one", "two"]
