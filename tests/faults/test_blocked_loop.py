"""Row: event loop blocked (time.sleep, a catastrophic regex)."""

import asyncio

import pytest

from tests.faults.poisoning import judged, poison, poisonous
from tests.faults.world import World

WATCHDOG_S = 3.0


@pytest.mark.parametrize("way", ["sleep", "regex"])
async def test_blocked_event_loop(world: World, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    poisonous(world, monkeypatch, watchdog_s=WATCHDOG_S)
    async with world.api() as http:
        healthy = await world.take(http, "one [slow]", "two [slow]", "three [slow]")
        blocker = await poison(world, http, way)
        async with world.process("worker") as first:
            assert await asyncio.to_thread(first.process.wait, 60) == 1
            said = first.said()
        assert "Timeout" in said
        assert f"in block_in_{way}" in said
        async with world.process("worker") as second:
            await world.all_end()
            assert second.process.poll() is None, "only wards are blocked"
    # A regular expression keeps the GIL: nobody but faulthandler can look at it.
    assert ("loop.blocked" in said) == (way == "sleep")
    await judged(world, healthy, [blocker])
    assert world.bought() == ["one [slow]", "three [slow]", "two [slow]"]
