"""Row: poison job (kill, segfault, out of memory) in a worker full of healthy jobs."""

import asyncio
import json

import pytest

from tests.faults.poisoning import judged, poison, poisonous
from tests.faults.world import World

HEALTHY = [f"scene {number} [slow]" for number in range(20)]


async def test_poison_among_healthy_jobs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    poisonous(world, monkeypatch)
    async with world.api() as http:
        healthy = await world.take(http, *HEALTHY)
        poisons = [await poison(world, http, way) for way in ("kill", "segfault")]
        async with world.process("worker") as first:
            assert await asyncio.to_thread(first.process.wait, 60) < 0
        async with world.process("worker") as second:
            await world.all_end()
            assert second.process.poll() is None, "only wards die"
    await judged(world, healthy, poisons)
    assert world.bought() == sorted(HEALTHY)


async def test_running_out_of_memory_is_a_plain_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    poisonous(world, monkeypatch)
    async with world.api() as http:
        await world.take(http, "beside it")
        await poison(world, http, "memory")
        async with world.process("worker") as worker:
            [healthy, failed] = await world.all_end(crashes=0)
            assert worker.process.poll() is None
    assert healthy["status"] == "completed"
    assert (failed["status"], json.loads(failed["error"])["code"]) == ("failed", "task_error")
