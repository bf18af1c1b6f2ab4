"""The sandbox as one aiohttp application: a provider under each prefix, and `/admin` for tests and for the curious."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from jobrunner.sandbox import ledger
from jobrunner.sandbox.elevenlabs import ElevenLabs
from jobrunner.sandbox.eth.node import Ethereum
from jobrunner.sandbox.fal.api import Fal
from jobrunner.sandbox.faults import Rule
from jobrunner.sandbox.luma import Luma
from jobrunner.sandbox.openai.api import OpenAI
from jobrunner.sandbox.pinata.api import Pinata
from jobrunner.sandbox.replicate.api import Replicate
from jobrunner.sandbox.runway import Runway
from jobrunner.sandbox.state import State, open_state
from jobrunner.sandbox.sync import Sync

PROVIDERS: Mapping[str, tuple[Any, str]] = {
    "fal": (Fal, "/fal"),
    "openai": (OpenAI, "/openai/v1"),
    "replicate": (Replicate, "/replicate"),
    "runway": (Runway, "/runway"),
    "luma": (Luma, "/luma/dream-machine/v1"),
    "elevenlabs": (ElevenLabs, "/elevenlabs"),
    "sync": (Sync, "/sync"),
    "ethereum": (Ethereum, "/eth"),
    "pinata": (Pinata, "/pinata/v3"),
}
"""As settings name them, with the path of each one's base URL; its first part is the name in rules and purchases."""
STATE = web.AppKey("state", State)
SHUTDOWN_S = 0.5
"""A hanging answer is meant to hang; do not wait for it."""
MAX_BODY_BYTES = 512 * 2**20
"""Of any request: aiohttp asks the outermost application alone. A lipsync comes with its whole clip."""
_PORT_FILE = "port"
_BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Sandbox:
    """`base_url` without a slash at its end: the providers are at `/replicate`, `/openai/v1` and so on."""

    base_url: str


def make_app(data_dir: Path, *, speed: float = 1.0) -> web.Application:
    """State is kept in `data_dir` and survives a kill. `speed` divides every made-up duration.

    Serve it with `handler_cancellation=True`, so that a client who hangs up ends its request; `running` does.
    """
    state = open_state(data_dir, speed=speed)
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[STATE] = state
    app.cleanup_ctx.append(state.webhooks.running)
    app.on_cleanup.append(lambda _app: state.aclose())
    for make, base in PROVIDERS.values():
        app.add_subapp(f"/{base.split('/')[1]}", make(state).app())
    app.add_routes(
        [
            web.get("/", _describe),
            web.get("/admin/purchases", _purchases),
            web.get("/admin/faults", _faults),
            web.post("/admin/faults", _add_fault),
            web.delete("/admin/faults", _clear_faults),
            web.get("/admin/webhooks", _webhooks),
            web.get("/admin/webhooks/secrets/{provider}", _webhook_secret),
        ]
    )
    return app


@contextlib.asynccontextmanager
async def running(
    data_dir: Path, host: str = "127.0.0.1", port: int = 0, *, speed: float = 1.0, rules: Sequence[Rule] = ()
) -> AsyncIterator[Sandbox]:
    """Serve until the block ends, from the start under `rules`. Port 0 takes the one of last time, or a free one."""
    app = make_app(data_dir, speed=speed)
    app[STATE].faults.rules.extend(rules)
    runner = web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    try:
        bound = await _bind(runner, host, [port] if port else [_last_port(data_dir), 0])
        (data_dir / _PORT_FILE).write_text(str(bound[1]))
        yield Sandbox(f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}")
    finally:
        await runner.cleanup()


def _last_port(data_dir: Path) -> int:
    """Where it was last time, if it may be again: workers that outlived a restart go on polling there."""
    try:
        return int((data_dir / _PORT_FILE).read_text())
    except (OSError, ValueError):
        return 0


async def _bind(runner: web.AppRunner, host: str, ports: Sequence[int]) -> tuple[str, int]:
    """Listen on the first of `ports` that is free. Raises OSError if none is."""
    *preferred, last = ports
    for port in preferred:
        with contextlib.suppress(OSError):
            await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
            break
    else:
        await web.TCPSite(runner, host, last, backlog=_BACKLOG).start()
    address: tuple[str, int] = runner.addresses[0][:2]
    return address


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


async def _describe(request: web.Request) -> web.Response:
    origin = str(request.url.origin())
    providers = {name: f"{origin}{base}" for name, (_, base) in PROVIDERS.items()}
    admin = ["/admin/purchases", "/admin/faults", "/admin/webhooks"]
    return _json({"service": "jobrunner sandbox", "providers": providers, "api_key": "test-key", "admin": admin})


async def _purchases(request: web.Request) -> web.Response:
    rows = ledger.select(request.app[STATE].db, request.query.get("provider"))
    return _json([row.to_json() for row in rows])


async def _webhooks(request: web.Request) -> web.Response:
    return _json([call.to_json() for call in request.app[STATE].webhooks.calls()])


async def _webhook_secret(request: web.Request) -> web.Response:
    """What a provider shows on its dashboard alone, as sync.so does."""
    provider = request.match_info["provider"]
    if provider not in PROVIDERS:
        return _json({"error": f"{provider!r} is none of {', '.join(PROVIDERS)}"}, status=404)
    return _json({"secret": request.app[STATE].webhooks.secret(provider)})


async def _faults(request: web.Request) -> web.Response:
    return _json([rule.model_dump() for rule in request.app[STATE].faults.rules])


async def _add_fault(request: web.Request) -> web.Response:
    try:
        rule = Rule.model_validate_json(await request.read())
    except ValidationError as error:
        return _json({"errors": error.errors(include_url=False, include_context=False)}, status=422)
    request.app[STATE].faults.rules.append(rule)
    return _json(rule.model_dump(), status=201)


async def _clear_faults(request: web.Request) -> web.Response:
    request.app[STATE].faults.rules.clear()
    return web.Response(status=204)
