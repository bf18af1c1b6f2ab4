"""`migrate`: the database's schema."""

from pathlib import Path

import click

from jobrunner.cli.process import Signals, data_dir_option, json_option, run, settings_of
from jobrunner.cli.showing import to_json
from jobrunner.errors import ConfigError
from jobrunner.runtime import resolve
from jobrunner.settings import Settings
from jobrunner.store.migrate import migrate as apply_migrations


@click.command()
@json_option
@data_dir_option
def migrate(as_json: bool, data_dir: Path | None) -> None:
    """Bring the database to this version's schema; many may do so at once."""
    url = database_url(settings_of(data_dir))

    async def program(_signals: Signals) -> None:
        applied = await apply_migrations(url)
        if as_json:
            print(to_json({"applied": applied}))
        else:
            print(f"Applied {', '.join(applied)}." if applied else "Nothing to do: the schema is up to date.")

    run(program)


def database_url(settings: Settings) -> str:
    """Redis is not asked for. Raises ConfigError."""
    url = settings.database_url or resolve(settings).database_url
    if url is None:
        raise ConfigError("database_url is not set.")
    return url.get_secret_value()
