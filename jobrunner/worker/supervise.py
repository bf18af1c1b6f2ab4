"""Runs one task function under its soft and hard timeout, and stops it when asked to.

SoftTimeout must appear *inside* the function, at its await point, and must wind down TaskGroup, wait_for and gather
like a cancellation. So the function is driven by hand: `Task.cancel()` delivers CancelledError to `_Driven`, which
throws SoftTimeout (a CancelledError) into the function in its place and takes the cancellation back.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Literal

from jobrunner.errors import SoftTimeout

Stop = Literal["soft", "hard", "cancel", "hand_back", "lost", "inside"]
END_GRACE_S = 5.0
"""How long a cancelled function may take to end before it is abandoned."""


class Stopped(Exception):
    """The function was stopped from outside; `why` decides what that means for the job."""

    def __init__(self, why: Stop) -> None:
        super().__init__(why)
        self.why = why


class _Driven:
    """An awaitable that drives a coroutine and may hand it SoftTimeout in place of a CancelledError."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self.soften = False

    def __await__(self) -> Generator[Any, None, Any]:
        thrown: BaseException | None = None
        while True:
            try:
                if thrown is None:
                    awaited = self._coroutine.send(None)
                else:
                    error, thrown = thrown, None
                    awaited = self._coroutine.throw(error)
            except StopIteration as end:
                return end.value
            try:
                yield awaited
            except asyncio.CancelledError as cancelled:
                thrown = self._softened(cancelled)
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001  # whatever was awaited raised belongs to the function
                thrown = error

    def _softened(self, cancelled: asyncio.CancelledError) -> BaseException:
        task = asyncio.current_task()
        if not self.soften or task is None:
            return cancelled
        self.soften = False
        task.uncancel()
        return SoftTimeout("the soft timeout has passed")


class Supervised:
    """One run of a function. `stop(why)` may be called at any time; a soft stop gives way to any other."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, soft_s: float, hard_s: float) -> None:
        self._coroutine = coroutine
        self._driven = _Driven(coroutine)
        self._soft_s = soft_s
        self._hard_s = hard_s
        self._why: Stop | None = None
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self.task: asyncio.Task[Any] = self._loop.create_task(self._drive())
        self.task.add_done_callback(lambda _: self._end())

    async def run(self) -> Any:
        """What the function returned. Raises what it raised, or Stopped; ends by `hard_s` plus END_GRACE_S."""
        if self._soft_s <= self._hard_s:
            self._timer = self._loop.call_later(self._soft_s, self._soften)
        else:
            self._timer = self._loop.call_later(self._hard_s, self.stop, "hard")
        try:
            await self._over
        finally:
            self._timer.cancel()
            if not self.task.done():
                self.task.cancel()
        return self._verdict()

    @property
    def abandoned(self) -> bool:
        """The function swallowed its cancellation and still runs."""
        return not self.task.done()

    def stop(self, why: Stop) -> None:
        if self.task.done() or self._why not in {None, "soft"}:
            return
        self._why = why
        self._driven.soften = why == "soft"
        self.task.cancel()
        if why != "soft":
            self._loop.call_later(END_GRACE_S, self._end)

    def _soften(self) -> None:
        self.stop("soft")
        self._timer = self._loop.call_later(self._hard_s - self._soft_s, self.stop, "hard")

    async def _drive(self) -> Any:
        try:
            return await self._driven
        except BaseException as error:
            bearable = _bearable(error)
            if bearable is error:
                raise
            raise bearable from error

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _verdict(self) -> Any:
        if self.abandoned:
            raise Stopped(self._why or "hard")
        self._coroutine.close()  # stopped before its first step, it would warn that it was never awaited
        if self.task.cancelled():
            raise Stopped(self._why or "inside")
        if self._why in {"hard", "cancel", "lost"}:
            self.task.exception()  # seen: the reason for the stop outweighs what the function made of it
            raise Stopped(self._why)
        if self._why == "hand_back" and self.task.exception() is not None:
            raise Stopped("hand_back")  # what a function makes of its cancellation must not fail a job at a deploy
        return self.task.result()


def _bearable(error: BaseException) -> BaseException:
    """`error`, or what stands for it where it would mislead or end the worker: sys.exit() in a task ends the task."""
    if isinstance(error, BaseExceptionGroup):
        # Before Python 3.13 a TaskGroup wraps the SoftTimeout that ended its body (python/cpython#113848).
        error = error.split(SoftTimeout)[1] or SoftTimeout("the soft timeout has passed")
    if isinstance(error, (Exception, asyncio.CancelledError, KeyboardInterrupt)):
        return error
    return RuntimeError(f"{type(error).__name__} left the task: {error}")
