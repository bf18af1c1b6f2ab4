"""The application, put together, and the server around it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from jobrunner.api.artifacts import Artifacts
from jobrunner.api.bulk import Bulk
from jobrunner.api.dashboard import Dashboard
from jobrunner.api.dashboard.session import SignIn
from jobrunner.api.gallery import Gallery
from jobrunner.api.guard.cors import Cors
from jobrunner.api.guard.door import Door, refuse_strangers
from jobrunner.api.guard.keys import Keys
from jobrunner.api.guard.limits import Pacing
from jobrunner.api.guard.seats import Seats
from jobrunner.api.guard.sessions import Sessions
from jobrunner.api.guard.signed_urls import SignedUrls
from jobrunner.api.hooks import Hooks
from jobrunner.api.jobs import Jobs
from jobrunner.api.journal import Journal
from jobrunner.api.metrics import Scraped
from jobrunner.api.middleware import add_headers, traced
from jobrunner.api.ops import Ops
from jobrunner.api.overview import Overview
from jobrunner.api.reference import Reference
from jobrunner.api.routes import add_routes
from jobrunner.api.streams.events import Events
from jobrunner.api.streams.feeds import Feeds
from jobrunner.api.streams.watching import Watching
from jobrunner.api.waits import Waits
from jobrunner.api.webhooks import Webhooks
from jobrunner.observe.listening import listening
from jobrunner.observe.metrics import Metrics
from jobrunner.runtime import Runtime

_HEAD_S = 30.0
"""How long a connection may be open without the whole head of its request, or of its next one."""

_SHUTDOWN_S = 5.0
"""How long requests under way may go on once the server stops."""


def make_app(runtime: Runtime, metrics: Metrics | None = None) -> web.Application:
    """`metrics`: the process's, where more than the server adds to them."""
    http = runtime.settings.http
    cors, urls = Cors(http.cors_origins), SignedUrls(http.url_secret)
    keys = Keys(runtime.settings.keys)
    sessions = Sessions(keys, http.url_secret)
    door = Door(http, keys, sessions, urls, cors)
    pacing = Pacing(runtime.limits)
    app = web.Application(middlewares=[traced, door.guard, pacing.limit], client_max_size=http.max_body_bytes)
    app.on_response_prepare.extend((add_headers, cors.add_headers, pacing.add_headers))
    changes = runtime.notices.changes
    waits, feeds = Waits(runtime.client), Feeds(runtime.store, changes)
    app.on_shutdown.extend((waits.close, feeds.close))
    seats = Seats(runtime.limits, runtime.store, queue=runtime.queue.name)
    app.on_cleanup.append(seats.drain)
    dashboard = Dashboard()
    ops = Ops(runtime)
    scraped = Scraped(runtime.store.overview, metrics or Metrics(runtime.store))
    app.cleanup_ctx.append(scraped.listening)
    areas = (
        dashboard,
        SignIn(keys, sessions),
        Jobs(runtime.client, waits, seats),
        Bulk(runtime.client, seats),
        Events(runtime.client, changes, feeds),
        Watching(changes, feeds),
        Journal(runtime.client, runtime.notices.previews),
        Webhooks(runtime.client),
        Hooks(runtime),
        Artifacts(runtime, urls),
        Gallery(runtime.store.gallery),
        ops,
        Overview(runtime, ops),
        scraped,
        Reference(runtime.client),
    )
    add_routes(app, [route for area in areas for route in area.routes()])
    dashboard.add_files(app)
    return app


@asynccontextmanager
async def serving(runtime: Runtime, metrics: Metrics | None = None) -> AsyncIterator[str]:
    """Serve while the block runs; yields the base URL. Port 0 takes a free one. Raises ConfigError.

    `metrics`: the process's, where more than the server adds to them.
    """
    http = runtime.settings.http
    refuse_strangers(runtime.settings)
    # auto_decompress: compressed bodies are refused, and must not be inflated only to be thrown away.
    runner = web.AppRunner(
        make_app(runtime, metrics),
        access_log=None,
        shutdown_timeout=_SHUTDOWN_S,
        auto_decompress=False,
        keepalive_timeout=_HEAD_S,
    )
    async with listening(runner, http.host, http.port, table="http") as url:
        yield url
