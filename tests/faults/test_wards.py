"""A ward ends with the worker that opened it, and hands back what it holds."""

import signal

import pytest

from tests.faults.poisoning import patient
from tests.faults.world import World, until


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_ward_ends_with_its_worker(world: World, end: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(world, monkeypatch)

    async def handed_back() -> bool:
        return [(row["status"], row["fence"]) for row in await world.rows()] == [("pending", 1)]

    await world.fault(on="poll", fail="503")
    async with world.api() as http:
        await world.take(http, "a suspect")
        await world.database.execute("UPDATE jobrunner.jobs SET suspicion = 1")
        async with world.process("worker") as worker:
            await world.claimed(fence=1)
            await world.bound()
            worker.process.send_signal(end)
            await until(handed_back, worker.said)
        await world.no_faults()
        async with world.process("worker") as another:
            await until(world._ended, another.said)
            await world.all_end(status="completed", failures=0, crashes=0, fence=2)
    assert world.bought() == ["a suspect"]
