"""The application, put together, and the server around it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from jobrunner.api.artifacts import Artifacts
from jobrunner.api.bulk import Bulk
from jobrunner.api.cors import Cors
from jobrunner.api.door import Door, refuse_strangers
from jobrunner.api.events import Events
from jobrunner.api.hooks import Hooks
from jobrunner.api.jobs import Jobs
from jobrunner.api.keys import Keys
from jobrunner.api.limits import Pacing
from jobrunner.api.middleware import add_headers, traced
from jobrunner.api.ops import Ops
from jobrunner.api.reference import Reference
from jobrunner.api.routes import add_routes
from jobrunner.api.seats import Seats
from jobrunner.api.signed_urls import SignedUrls
from jobrunner.api.waits import Waits
from jobrunner.api.webhooks import Webhooks
from jobrunner.errors import ConfigError
from jobrunner.runtime import Runtime

_HEAD_S = 30.0
"""How long a connection may be open without the whole head of its request, or of its next one."""

_SHUTDOWN_S = 5.0
"""How long requests under way may go on once the server stops."""


def make_app(runtime: Runtime) -> web.Application:
    http = runtime.settings.http
    cors, urls = Cors(http.cors_origins), SignedUrls(http.url_secret)
    door = Door(http, Keys(runtime.settings.keys), urls, cors)
    pacing = Pacing(runtime.limits)
    app = web.Application(middlewares=[traced, door.guard, pacing.limit], client_max_size=http.max_body_bytes)
    app.on_response_prepare.extend((add_headers, cors.add_headers, pacing.add_headers))
    waits, events = Waits(runtime.client), Events(runtime)
    app.on_shutdown.extend((waits.close, events.close))
    seats = Seats(runtime.limits, runtime.store, queue=runtime.queue.name)
    app.on_cleanup.append(seats.drain)
    areas = (
        Jobs(runtime.client, waits, seats),
        Bulk(runtime.client, seats),
        events,
        Webhooks(runtime.client),
        Hooks(runtime),
        Artifacts(runtime, urls),
        Ops(runtime),
        Reference(runtime.client),
    )
    add_routes(app, [route for area in areas for route in area.routes()])
    return app


@asynccontextmanager
async def serving(runtime: Runtime) -> AsyncIterator[str]:
    """Serve while the block runs; yields the base URL. Port 0 takes a free one. Raises ConfigError."""
    http = runtime.settings.http
    refuse_strangers(runtime.settings)
    # auto_decompress: compressed bodies are refused, and must not be inflated only to be thrown away.
    runner = web.AppRunner(
        make_app(runtime),
        access_log=None,
        shutdown_timeout=_SHUTDOWN_S,
        auto_decompress=False,
        keepalive_timeout=_HEAD_S,
    )
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
