"""The application, put together, and the server around it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from jobrunner.api.artifacts import Artifacts
from jobrunner.api.hooks import Hooks
from jobrunner.api.jobs import Jobs
from jobrunner.api.middleware import add_headers, guarded, is_loopback, traced
from jobrunner.api.ops import Ops
from jobrunner.api.webhooks import Webhooks
from jobrunner.errors import ConfigError
from jobrunner.runtime import Runtime
from jobrunner.settings.tables import Http

_SHUTDOWN_S = 5.0
"""How long requests under way may go on once the server stops."""


def make_app(runtime: Runtime) -> web.Application:
    http = runtime.settings.http
    app = web.Application(
        middlewares=[traced, guarded(trust_network=http.trust_network)], client_max_size=http.max_body_bytes
    )
    app.on_response_prepare.append(add_headers)
    Jobs(runtime.client).add_to(app)
    Webhooks(runtime.client).add_to(app)
    Hooks(runtime).add_to(app)
    Artifacts(runtime).add_to(app)
    Ops(runtime).add_to(app)
    return app


@asynccontextmanager
async def serving(runtime: Runtime) -> AsyncIterator[str]:
    """Serve while the block runs; yields the base URL. Port 0 takes a free one. Raises ConfigError."""
    http = runtime.settings.http
    _refuse_strangers(http)
    # auto_decompress: compressed bodies are refused, and must not be inflated only to be thrown away.
    runner = web.AppRunner(make_app(runtime), access_log=None, shutdown_timeout=_SHUTDOWN_S, auto_decompress=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, http.host, http.port, backlog=1024).start()
        except OSError as error:
            raise ConfigError(
                f"The API cannot listen on {http.host}:{http.port}: {error.strerror or error}. "
                "Set http.host and http.port to a free address (port 0 takes any)."
            ) from error
        host, port = runner.addresses[0][:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def _refuse_strangers(http: Http) -> None:
    if http.trust_network or is_loopback(http.host):
        return
    raise ConfigError(
        f"http.host = {http.host!r} is reachable from outside, and there are no API keys yet: whoever reaches the port "
        "may submit jobs that cost money. Set http.host = '127.0.0.1', or, where a firewall or proxy decides who gets "
        "through, http.trust_network = true."
    )
