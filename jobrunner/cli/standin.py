"""What runs on this machine where nothing else is configured: embedded servers, and a sandbox for missing keys."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr
from rich.text import Text

from jobrunner import embedded
from jobrunner.cli.showing import console, to_json
from jobrunner.runtime import sandboxed, with_sandbox
from jobrunner.sandbox import app as sandbox
from jobrunner.settings import PREFIX, Settings
from jobrunner.store.migrate import migrate


@dataclass(frozen=True, slots=True)
class Standin:
    """`settings` are resolved; `servers` is None where both URLs were set; `keyless` providers go to `sandbox_url`."""

    settings: Settings
    servers: embedded.Servers | None
    sandbox_url: str | None
    keyless: Sequence[str]


@asynccontextmanager
async def standing_in(settings: Settings) -> AsyncIterator[Standin]:
    """Start what is missing, and migrate. Raises ConfigError, DataDirBusy."""
    async with AsyncExitStack() as stack:
        servers = None
        if settings.database_url is None or settings.redis_url is None:
            servers = await stack.enter_async_context(embedded.running(settings.directory))
            found = {
                "database_url": settings.database_url or SecretStr(servers.database_url),
                "redis_url": settings.redis_url or SecretStr(servers.redis_url),
            }
            settings = settings.model_copy(update=found)
        assert settings.database_url is not None  # noqa: S101  # just filled in
        await migrate(settings.database_url.get_secret_value())
        keyless, sandbox_url = sandboxed(settings), None
        if keyless:
            serving = await stack.enter_async_context(sandbox.running(settings.directory / "sandbox"))
            sandbox_url = serving.base_url
            settings = with_sandbox(settings, sandbox_url)
        yield Standin(settings, servers, sandbox_url, keyless)


def greet(standin: Standin, api_url: str | None, *, as_json: bool) -> None:
    """Say on stdout that everything is ready, and where it is."""
    database_url, redis_url = (
        _without_password(url) for url in (standin.settings.database_url, standin.settings.redis_url)
    )
    if as_json:
        ready = {
            "event": "ready",
            "pid": os.getpid(),
            "api": api_url,
            "sandbox": standin.sandbox_url,
            "database_url": database_url,
            "redis_url": redis_url,
            "data_dir": str(standin.settings.directory),
        }
        print(to_json(ready), flush=True)
        return
    lines = {
        "API": api_url,
        "data": str(standin.settings.directory),
        "Postgres": database_url,
        "Redis": redis_url,
        "sandbox": standin.sandbox_url,
    }
    out = console()
    for name, value in lines.items():
        if value is not None:
            out.print(Text(f"{name:>9}", "bold"), f" {value}")
    if standin.keyless:
        out.print(f"\n{_keyless_notice(standin.keyless)}", style="yellow")
    out.print("\nReady. Ctrl-C stops it; a second one does not wait for running jobs.")


def _keyless_notice(names: Sequence[str]) -> str:
    return (
        f"No API key for {', '.join(names)}: their calls go to the sandbox, which makes stand-ins offline. "
        f"Set {PREFIX}PROVIDERS__NAME__API_KEY for real ones."
    )


def _without_password(url: SecretStr | None) -> str:
    text = url.get_secret_value() if url is not None else ""
    password = urlsplit(text).password
    return text.replace(f":{password}@", ":***@", 1) if password else text
