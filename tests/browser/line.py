"""The line between a browser and the server, for tests that cut it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from urllib.parse import urlsplit

from tests.faults.proxy import Proxy


@dataclass
class Line:
    """A Proxy, worked from a thread that has no loop."""

    _proxy: Proxy
    _loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._proxy.port}"

    def cut(self) -> None:
        asyncio.run_coroutine_threadsafe(self._proxy.cut(), self._loop).result()

    def mend(self) -> None:
        self._loop.call_soon_threadsafe(self._proxy.mend)


@contextmanager
def line_to(url: str) -> Iterator[Line]:
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="line")
    thread.start()
    try:
        port = urlsplit(url).port
        assert port is not None
        listening = Proxy(port).listening()
        proxy = asyncio.run_coroutine_threadsafe(listening.__aenter__(), loop).result()
        try:
            yield Line(proxy, loop)
        finally:
            asyncio.run_coroutine_threadsafe(listening.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
