"""A TCP address in front of a server's socket: a line that can be cut, slowed, silenced or robbed of an answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_BEGIN, _COMMIT = b"BEGIN;\0", b"COMMIT;\0"
_EXECUTE = b"E\0\0\0\x09\0\0\0\0\0"
"""Runs a prepared statement; outside a transaction it commits by itself."""

_BLOCK = 1 << 16


@dataclass
class Loss:
    """The next `to` that follows bytes holding `after` on the same connection; its answer never arrives.

    `to` None: what makes Postgres commit.
    """

    after: bytes
    to: bytes | None = None
    happened: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Proxy:
    """`there` is a Unix socket, or a port of this machine. `delay_s` holds back every answer by so much.

    Opened by `listening`.
    """

    there: Path | int
    port: int = 0
    delay_s: float = 0.0
    lingers: bool = False
    """Who hears a server's last word does not hear that the connection is over."""
    outlived: int = 0
    """Connections whose server is gone, and said so, while they linger."""
    _whole: bool = True
    _speaks: asyncio.Event = field(default_factory=asyncio.Event)
    _loss: Loss | None = None
    _calls: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._speaks.set()
        try:
            yield self
        finally:
            server.close()
            await self.cut()

    async def cut(self) -> None:
        """Reset every connection and refuse new ones, until `mend`."""
        self._whole = False
        for writer in self._writers:
            writer.transport.abort()
        if self._calls:
            await asyncio.wait(self._calls)

    def mend(self) -> None:
        self._whole = True
        self._speaks.set()

    def fall_silent(self) -> None:
        """Take everything in and answer nothing, until `mend`."""
        self._speaks.clear()

    def lose_commit(self, *, after: bytes) -> Loss:
        """The server commits; who asked for it finds its connection reset instead of an answer."""
        self._loss = Loss(after)
        return self._loss

    def lose_answer(self, *, to: bytes) -> Loss:
        """The server does what it was asked; who asked finds its connection reset instead of an answer."""
        self._loss = Loss(to, to=to)
        return self._loss

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        self._writers.add(writer)  # now: a cut may come before the call's first step, and would wait for its end
        task = asyncio.create_task(self._call(reader, writer))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.there, int):
            return await asyncio.open_connection("127.0.0.1", self.there)
        return await asyncio.open_unix_connection(self.there)

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await self._connect()
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(back)
        call = _Call(self, writer, back)
        ways = [asyncio.create_task(call.ask(reader)), asyncio.create_task(call.answer(there))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        if self.lingers:
            self.outlived += 1
            await asyncio.wait(ways)
        for each in (writer, back):
            self._writers.discard(each)
            each.transport.abort()
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)


class _Call:
    """One connection through a proxy."""

    def __init__(self, proxy: Proxy, writer: asyncio.StreamWriter, back: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._writer = writer
        self._back = back
        self._robbed: Loss | None = None
        self._losing = False
        self._commit = _EXECUTE

    async def ask(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_BLOCK):
                self._look(data)
                self._back.write(data)
                await self._back.drain()

    async def answer(self, there: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            while data := await there.read(_BLOCK):
                if self._losing and self._robbed is not None:
                    self._robbed.happened.set()
                    return
                await asyncio.sleep(self._proxy.delay_s)
                await self._proxy._speaks.wait()
                self._writer.write(data)
                await self._writer.drain()

    def _look(self, data: bytes) -> None:
        if _BEGIN in data:
            self._commit = _COMMIT
        loss = self._proxy._loss
        if loss is not None and loss.after in data:
            self._robbed, self._proxy._loss = loss, None
        if self._robbed is not None and (self._robbed.to or self._commit) in data:
            self._losing = True
        if _COMMIT in data:
            self._commit = _EXECUTE
