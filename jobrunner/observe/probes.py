"""What a process answers to whoever looks after it: Kubernetes, compose, a balancer, Prometheus."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

import orjson
from aiohttp import web

from jobrunner.observe.listening import listening


@dataclass(frozen=True, slots=True)
class Check:
    """`detail` says what to do, or what was found."""

    ok: bool
    detail: str


Checks = Mapping[str, Check]


def verdict(checks: Checks) -> web.Response:
    """200 where all is well, else 503; the body says what of it."""
    well = all(check.ok for check in checks.values())
    body = {"status": "ok" if well else "unavailable", "checks": {name: asdict(each) for name, each in checks.items()}}
    return web.Response(body=orjson.dumps(body), status=200 if well else 503, content_type="application/json")


@asynccontextmanager
async def answering(host: str, port: int, answers: Mapping[str, Callable[[], web.Response]]) -> AsyncIterator[str]:
    """A port for `answers`, by their paths, and nothing else; yields its URL. Raises ConfigError."""
    app = web.Application()
    app.add_routes([_route(path, answer) for path, answer in answers.items()])
    app.on_response_prepare.append(_add_headers)
    runner = web.AppRunner(app, access_log=None)
    async with listening(runner, host, port, table="worker", prefix="probe_") as url:
        yield url


def _route(path: str, answer: Callable[[], web.Response]) -> web.RouteDef:
    async def handle(_request: web.Request) -> web.Response:
        return answer()

    return web.get(path, handle)


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update({"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
