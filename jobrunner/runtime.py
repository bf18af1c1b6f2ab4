"""From settings to the shared, wired objects."""

import importlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import SecretStr

from jobrunner import embedded
from jobrunner.broker.limits import Limits
from jobrunner.broker.queue import Queue
from jobrunner.broker.stream import Notices
from jobrunner.client import Client
from jobrunner.client.local import Local
from jobrunner.client.uploads import Uploads
from jobrunner.declare import TaskSpec, declared, pop_runner, push_runner
from jobrunner.errors import ConfigError, InvalidRequest, UrlNotAllowed
from jobrunner.job import WEBHOOK_MODULE
from jobrunner.net import Net
from jobrunner.providers.driver import Driver
from jobrunner.providers.elevenlabs import ElevenLabs
from jobrunner.providers.ethereum import Ethereum
from jobrunner.providers.fal import Fal
from jobrunner.providers.hooks import Hooks
from jobrunner.providers.luma import Luma
from jobrunner.providers.openai import OpenAI
from jobrunner.providers.pinata import Pinata
from jobrunner.providers.replicate import Replicate
from jobrunner.providers.runway import Runway
from jobrunner.providers.sync import Sync
from jobrunner.redaction import keep_secret
from jobrunner.settings import Settings
from jobrunner.settings.secrets import secrets_in
from jobrunner.settings.tables import Provider
from jobrunner.store.artifacts import FileArtifacts
from jobrunner.store.postgres import Store

DRIVERS: Mapping[str, Any] = {
    "fal": Fal,
    "openai": OpenAI,
    "replicate": Replicate,
    "runway": Runway,
    "luma": Luma,
    "elevenlabs": ElevenLabs,
    "sync": Sync,
    "pinata": Pinata,
    "ethereum": Ethereum,
}
"""Every provider by its word in routes and settings."""

SANDBOX_PREFIXES = {
    "fal": "/fal",
    "openai": "/openai/v1",
    "replicate": "/replicate",
    "runway": "/runway",
    "luma": "/luma/dream-machine/v1",
    "elevenlabs": "/elevenlabs",
    "sync": "/sync",
    "pinata": "/pinata/v3",
    "ethereum": "/eth",
}
SANDBOX_KEY = "test-key"
SANDBOX_MINT: Mapping[str, Any] = {
    "chain_id": 31337,
    "contract": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
    "function": "mint(address,string,bytes32)",
    "signing_key": SecretStr("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
}
"""The sandbox's own chain, collection and minter, whose key everybody knows."""

WEBHOOKS = "jobrunner.tasks.webhook"
"""On every include list: any job may name a webhook."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What server, worker and command line share. `drivers` connect only when they are used."""

    settings: Settings
    tasks: Mapping[str, TaskSpec[Any, Any]]
    store: Store
    queue: Queue
    notices: Notices
    limits: Limits
    client: Client
    local: Local
    artifacts: FileArtifacts
    drivers: Mapping[str, Driver]
    net: Net
    hooks: Hooks


def load_tasks(settings: Settings) -> Mapping[str, TaskSpec[Any, Any]]:
    """Import the include list. Raises ConfigError for a module that is not there, DeclarationError for a bad task."""
    for name in (*settings.task_modules, WEBHOOKS):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise ConfigError(f"setting `task_modules` names {name!r}, which cannot be imported: {error}") from error
    tasks = declared()
    if not _submittable(tasks):
        raise ConfigError("setting `task_modules`: the modules declare no task; decorate one with @task.")
    return tasks


def drivers_of(settings: Settings) -> Mapping[str, Any]:
    """The built-in drivers and those that settings name. Raises ConfigError for one that is not there."""
    own = {name: provider.driver for name, provider in settings.providers.items() if name not in DRIVERS}
    return {**DRIVERS, **{name: _driver(name, place) for name, place in own.items()}}


def _driver(name: str, place: str | None) -> Any:
    if place is None:
        raise ConfigError(
            f"setting `providers.{name}`: there is no provider of that name. Built in are {', '.join(DRIVERS)}; for "
            "one of your own set its `driver`."
        )
    module, _, made = place.partition(":")
    try:
        return getattr(importlib.import_module(module), made)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ConfigError(f"setting `providers.{name}.driver` = {place!r} cannot be loaded: {error}") from error


def resolve(settings: Settings) -> Settings:
    """Fill in what is unset from the services that run on the same data directory. Raises ConfigError if none do."""
    run = embedded.find(settings.directory)
    if run is None:
        if settings.database_url is None or settings.redis_url is None:
            raise ConfigError(
                f"No jobrunner services run on {settings.directory}, and database_url or redis_url is not set. "
                "Start `jobrunner services` (or `jobrunner up`), or set both URLs."
            )
        return settings
    found = settings.model_copy(
        update={
            "database_url": settings.database_url or SecretStr(run.database_url),
            "redis_url": settings.redis_url or SecretStr(run.redis_url),
        }
    )
    return with_sandbox(found, run.sandbox_url)


def with_sandbox(settings: Settings, sandbox_url: str | None) -> Settings:
    """Send every provider that has no key of its own to the sandbox."""
    if sandbox_url is None:
        return settings
    providers = dict(settings.providers)
    for name in sandboxed(settings):
        url = sandbox_url + SANDBOX_PREFIXES[name]
        providers[name] = (settings.providers.get(name) or Provider()).model_copy(
            update={"base_url": url, "api_key": SecretStr(SANDBOX_KEY)}
        )
    host = sandbox_url.removeprefix("http://").rstrip("/")
    net = settings.net.model_copy(update={"allow": (*settings.net.allow, host)})
    mint = settings.mint if settings.mint.signs else settings.mint.model_copy(update=SANDBOX_MINT)
    return settings.model_copy(update={"providers": providers, "net": net, "mint": mint})


def sandboxed(settings: Settings) -> list[str]:
    """The providers without a key. A real token must not be minted of files that only the sandbox has."""
    keyed = {name for name, provider in settings.providers.items() if provider.api_key is not None}
    if settings.mint.signs:
        keyed |= {Ethereum.name, Pinata.name}
    return [name for name in DRIVERS if name not in keyed]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Runtime]:
    """Wire everything, and close it again. `settings` must be resolved. Raises ConfigError, Unavailable."""
    keep_secret(secrets_in(settings))
    tasks = load_tasks(settings)
    if settings.redis_url is None:
        raise ConfigError("redis_url is not set.")
    redis_url = settings.redis_url.get_secret_value()
    async with AsyncExitStack() as stack:
        net = Net(settings.net.allow)
        stack.push_async_callback(net.aclose)
        store = await stack.enter_async_context(Store.opened(settings))
        minter = partial(Ethereum, mint=settings.mint, ledger=store.mints)
        _check_webhooks(settings, net)
        hooks = Hooks(net, settings)
        stack.push_async_callback(hooks.aclose)
        drivers: dict[str, Driver] = {}
        for name, make in {**drivers_of(settings), Ethereum.name: minter}.items():
            drivers[name] = make(net, settings.providers.get(name) or Provider())
            stack.push_async_callback(drivers[name].aclose)
        queue = Queue(redis_url, name=settings.worker.queue)
        stack.push_async_callback(queue.aclose)
        notices = Notices(redis_url)
        stack.push_async_callback(notices.aclose)
        limits = Limits(redis_url)
        stack.push_async_callback(limits.aclose)
        client = await stack.enter_async_context(
            Client.opened(
                *(store, queue, notices, _submittable(tasks)),
                check_webhook=lambda url: _check_webhook(url, settings, net),
                check_url=net.check_url,
            )
        )
        files = FileArtifacts(settings.artifact_dir)
        local = Local(client, files, Uploads(client, files, settings.directory / "spool"))
        push_runner(local)
        stack.callback(pop_runner, local)
        yield Runtime(settings, tasks, store, queue, notices, limits, client, local, files, drivers, net, hooks)


def _submittable(tasks: Mapping[str, TaskSpec[Any, Any]]) -> Mapping[str, TaskSpec[Any, Any]]:
    """What callers may ask for; a delivery is signed by us, and says only what the store wrote into it."""
    return {name: spec for name, spec in tasks.items() if spec.module != WEBHOOK_MODULE}


def _check_webhook(url: str, settings: Settings, net: Net) -> None:
    """Raises UrlNotAllowed, InvalidRequest."""
    if settings.webhooks.secret is None:
        message = "this server signs no webhooks; its operator has to set `webhooks.secret`"
        raise InvalidRequest(f"webhook: {message}.", [{"path": "webhook", "message": message, "type": "webhooks_off"}])
    net.check_url(url)


def _check_webhooks(settings: Settings, net: Net) -> None:
    """Raises ConfigError."""
    if settings.webhooks.secret is None and (settings.webhooks.urls or settings.http.public_url):
        raise ConfigError(
            "webhooks.urls and http.public_url need `webhooks.secret`, which signs what is sent and seals what is "
            'received. Set JOBRUNNER_WEBHOOKS__SECRET to the output of: echo "whsec_$(openssl rand -base64 32)"'
        )
    for url in settings.webhooks.urls:
        try:
            net.check_url(url)
        except UrlNotAllowed as error:
            raise ConfigError(f"setting `webhooks.urls`: {error}") from None
