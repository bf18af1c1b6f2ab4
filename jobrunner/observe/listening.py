"""How a server of ours takes its place on the network."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from jobrunner.errors import ConfigError

_BACKLOG = 1024


@asynccontextmanager
async def listening(runner: web.AppRunner, host: str, port: int, *, table: str, prefix: str = "") -> AsyncIterator[str]:
    """Serve while the block runs; yields the base URL. Port 0 takes a free one. Raises ConfigError.

    `table` and `prefix` name the settings of host and port: `http.host`, `worker.probe_host`.
    """
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        except OSError as error:
            raise ConfigError(
                f"{table}.{prefix}host and {table}.{prefix}port: nothing can listen on {host}:{port}: "
                f"{error.strerror or error}. Set them to a free address (port 0 takes any)."
            ) from error
        host, port = runner.addresses[0][:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        await runner.cleanup()
