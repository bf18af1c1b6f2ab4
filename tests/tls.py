"""TLS in front of the embedded servers, which speak none: a loopback port that ends it and passes bytes on."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trustme

_SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # Postgres' protocol, "SSL Session Encryption"
_BLOCK = 1 << 16


@dataclass
class Front:
    """`certificate` says who we are. `spoken` are the versions of TLS in which somebody was passed on."""

    there: Path
    certificate: trustme.LeafCert
    asks_first: bool = False
    clients: trustme.CA | None = None
    port: int = 0
    spoken: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Front"]:
        """`asks_first`: as Postgres has it, in clear whether TLS is spoken. `clients`: who must have signed theirs."""
        self._calls: set[asyncio.Task[None]] = set()
        context = None if self.asks_first else self._context()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for call in self._calls:
                call.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.certificate.configure_cert(context)
        if self.clients is not None:
            self.clients.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        with suppress(OSError, asyncio.IncompleteReadError):
            try:
                if self.asks_first:
                    assert await reader.readexactly(len(_SSL_REQUEST)) == _SSL_REQUEST
                    writer.write(b"S")
                    await writer.start_tls(self._context())
                self.spoken.append(writer.get_extra_info("ssl_object").version())
                await self._pass_on(reader, writer)
            finally:
                writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader_there, writer_there = await asyncio.open_unix_connection(self.there)
        try:
            ways = [
                asyncio.create_task(_copy(reader, writer_there)),
                asyncio.create_task(_copy(reader_there, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            writer_there.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while block := await reader.read(_BLOCK):
        writer.write(block)
        await writer.drain()
