"""Coalescing, as each of its callers sees it."""

import asyncio
from collections.abc import Sequence

import pytest

from jobrunner.batch import Batcher

Answer = str | BaseException


class Sink:
    """A flush that holds each batch until it is let through; answers in upper case, or what it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.failure: BaseException | None = None
        self.arrived = asyncio.Event()
        self.gate = asyncio.Semaphore(0)

    async def __call__(self, items: list[str]) -> Sequence[Answer]:
        self.batches.append(items)
        self.arrived.set()
        await self.gate.acquire()
        if self.failure is not None:
            raise self.failure
        return [ValueError(item) if item.startswith("!") else item.upper() for item in items]

    def open(self) -> None:
        for _ in range(100):
            self.gate.release()


def adding(batcher: Batcher[str, str], items: str) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(batcher.add(item)) for item in items.split()]


async def test_what_arrives_during_a_flush_goes_together_in_the_next() -> None:
    sink = Sink()
    batcher = Batcher(sink)
    first = adding(batcher, "a")
    await sink.arrived.wait()
    rest = adding(batcher, "b c d")
    sink.open()
    assert await asyncio.gather(*first, *rest) == ["A", "B", "C", "D"]
    assert sink.batches == [["a"], ["b", "c", "d"]]


async def test_a_batch_never_exceeds_its_limit_and_keeps_the_order() -> None:
    sink = Sink()
    sink.open()
    added = adding(Batcher(sink, limit=2), "a b c d e")
    assert await asyncio.gather(*added) == ["A", "B", "C", "D", "E"]
    assert sink.batches == [["a", "b"], ["c", "d"], ["e"]]


async def test_one_items_exception_is_its_callers_alone() -> None:
    sink = Sink()
    sink.open()
    good, bad, also_good = await asyncio.gather(*adding(Batcher(sink), "a !b c"), return_exceptions=True)
    assert (good, also_good) == ("A", "C")
    assert isinstance(bad, ValueError)


async def test_a_failed_flush_reaches_every_caller_and_the_next_batch_is_served() -> None:
    sink = Sink()
    sink.failure = ConnectionError("away")
    sink.open()
    batcher = Batcher(sink)
    assert await asyncio.gather(*adding(batcher, "a b"), return_exceptions=True) == [sink.failure] * 2
    sink.failure = None
    assert await batcher.add("c") == "C"


async def test_a_cancelled_caller_takes_nobody_along_and_its_item_still_goes() -> None:
    sink = Sink()
    batcher = Batcher(sink)
    first = adding(batcher, "a")
    await sink.arrived.wait()
    gone, stays = adding(batcher, "b c")
    await asyncio.sleep(0)
    gone.cancel()
    sink.open()
    assert await asyncio.gather(*first, stays) == ["A", "C"]
    assert gone.cancelled()
    assert sink.batches == [["a"], ["b", "c"]]


async def test_drain_waits_for_everything_that_was_added() -> None:
    sink = Sink()
    batcher = Batcher(sink, limit=1)
    await asyncio.wait_for(batcher.drain(), 1)
    added = adding(batcher, "a b c")
    await sink.arrived.wait()
    draining = asyncio.create_task(batcher.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    sink.open()
    await draining
    assert sink.batches == [["a"], ["b"], ["c"]]
    await asyncio.gather(*added)


async def test_a_cancelled_flush_is_heard_by_its_callers() -> None:
    sink = Sink()
    sink.failure = asyncio.CancelledError()
    sink.open()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(Batcher(sink).add("a"), 1)
