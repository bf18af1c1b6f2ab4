"""Coalescing: many callers, one statement. Submits, steps and finishes share this one class."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Collects what arrives while the last batch is under way and hands it on as one list.

    One batch is in flight at a time, so batches stay at one when idle and grow under load.
    `flush(items)` answers one result an item, in order; an exception in an item's place goes to
    that item's caller alone, an exception raised by `flush` goes to every caller of that batch.
    """

    def __init__(
        self, flush: Callable[[list[T]], Awaitable[Sequence[R | BaseException]]], *, limit: int = 1000
    ) -> None:
        self._flush = flush
        self._limit = limit
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._runner: asyncio.Task[None] | None = None

    async def add(self, item: T) -> R:
        """Wait for `item`'s own result. Cancelling the caller does not take the item out of its batch."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run(), name="batch", context=Context())
        return await future

    @property
    def waiting(self) -> int:
        """How many wait for the batch under way to end."""
        return len(self._waiting)

    async def drain(self) -> None:
        """Wait until all that was added has been flushed."""
        while self._runner is not None and not self._runner.done():
            await asyncio.wait([self._runner])

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
            try:
                results = _one_each(batch, await self._flush([item for item, _ in batch]))
            except BaseException as error:  # noqa: BLE001  # every caller must hear of it, also of a cancel
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)


def _one_each(items: Sequence[object], results: Sequence[R | BaseException]) -> Sequence[R | BaseException]:
    if len(results) != len(items):
        raise AssertionError(f"{len(items)} items were flushed and {len(results)} answered")
    return results
