"""Opens jobrunner for one command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jobrunner.cli.process import settings_of
from jobrunner.client import Client
from jobrunner.errors import ConfigError
from jobrunner.observe import observing
from jobrunner.runtime import opened, resolve


@asynccontextmanager
async def opened_client(data_dir: Path | None) -> AsyncIterator[Client]:
    """Raises ConfigError (also for a database that was not migrated) and Unavailable."""
    with observing("WARNING"):
        async with opened(resolve(settings_of(data_dir))) as runtime:
            missing = await runtime.store.missing_migrations()
            if missing:
                raise ConfigError(f"The database lacks {', '.join(missing)}: run `jobrunner migrate` first.")
            yield runtime.client
