"""Keeps the artist in a process of its own, so that no event loop waits while a picture is drawn."""

import asyncio
import functools
import multiprocessing
import os
import signal
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final, ParamSpec, TypeVar

KEPT_PICTURES: Final = 64
Size = tuple[int, int]
P = ParamSpec("P")
T = TypeVar("T")


def _enter() -> None:
    """First thing in the child: leave Ctrl-C to the sandbox, and never outlive it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # waits on a pipe that the kernel closes with the sandbox, also after kill -9
    os._exit(1)


def _draw(text: str, seed: int, width: int, height: int, format: str) -> bytes:
    from jobrunner.sandbox.artists import artist  # noqa: PLC0415  # only the child pays for Pillow

    return artist.draw(text, seed, width, height, format)


def _edit(pictures: Sequence[bytes], mask: bytes | None, text: str, *, seed: int, size: Size, format: str) -> bytes:
    from jobrunner.sandbox.artists import retouch  # noqa: PLC0415

    return retouch.edit(pictures, mask, text, seed=seed, size=size, format=format)


def _measure(picture: bytes) -> Size:
    from jobrunner.sandbox.artists import retouch  # noqa: PLC0415

    return retouch.size_of(picture)


class Studio:
    """Draws on demand. The last few pictures are kept; a broken process is replaced."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._pictures: OrderedDict[tuple[str, int, int, int, str], asyncio.Task[bytes]] = OrderedDict()
        self._waiting: Counter[asyncio.Task[bytes]] = Counter()

    async def picture(self, text: str, *, seed: int, size: tuple[int, int], format: str) -> bytes:
        """`format` is png, jpeg or webp. Equal orders are drawn once, also when they come at the same time.

        What nobody waits for any more is not drawn, or a crowd that gives up and comes again would never be served.
        """
        order = (text, seed, *size, format)
        task = self._pictures.get(order)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._pictures[order] = asyncio.create_task(self._ordered(_draw, *order))
            while len(self._pictures) > KEPT_PICTURES:
                self._pictures.popitem(last=False)
        self._waiting[task] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                task.cancel()

    async def edited(
        self, pictures: Sequence[bytes], mask: bytes | None, text: str, *, seed: int, size: Size, format: str
    ) -> bytes:
        """The first of `pictures` changed as `text` says; only where `mask` (a PNG) is transparent, if there is one."""
        return await self._ordered(_edit, pictures, mask, text, seed=seed, size=size, format=format)

    async def measured(self, picture: bytes) -> Size:
        """Width and height of an encoded picture in pixels. Raises OSError for what is none."""
        return await self._ordered(_measure, picture)

    async def _ordered(self, artist: Callable[P, T], *order: P.args, **options: P.kwargs) -> T:
        work = functools.partial(artist, *order, **options)
        loop = asyncio.get_running_loop()
        pool = self._open()
        try:
            return await loop.run_in_executor(pool, work)
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = None
            return await loop.run_in_executor(self._open(), work)

    def _open(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")  # forking this process, which has threads, is unsafe
            context.set_forkserver_preload(["__main__", "jobrunner.sandbox.artists.artist"])
            self._pool = ProcessPoolExecutor(1, context, initializer=_enter)
        return self._pool

    async def aclose(self) -> None:
        tasks = list(self._pictures.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
            self._pool = None
