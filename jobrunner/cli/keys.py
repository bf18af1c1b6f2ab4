"""`keys`: who may use the API."""

import re
import typing
from typing import Any

import click

from jobrunner.api.guard.keys import hash_of, new_key
from jobrunner.cli.process import json_option
from jobrunner.cli.showing import console, to_json
from jobrunner.settings.tables import USER_CHARS, Key, Scope


@click.group()
def keys() -> None:
    """The keys of the API; settings.toml keeps their hashes."""


def _name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise click.BadParameter("use letters, digits, - and _, at most 64 of them.")
    return value


def _user(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not 1 <= len(value) <= USER_CHARS:
        raise click.BadParameter(f"an id has 1 to {USER_CHARS} characters; without a user, leave it out.")
    return value


@keys.command()
@click.argument("name", callback=_name)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(typing.get_args(Scope)),
    help="What the key may do; several are several options. admin may do everything.",
)
@click.option(
    "--user", "user_id", callback=_user, help="Bind the key to this user: it sees and touches only what is theirs."
)
@click.option("--requests-per-minute", type=click.IntRange(1), help="How often it may ask.")
@click.option("--jobs-at-once", type=click.IntRange(1), help="How many unended jobs it may have.")
@json_option
def create(name: str, as_json: bool, **asked: Any) -> None:
    """Make an API key, and print it this once, with the lines for settings.toml that let it in."""
    key = new_key()
    row = Key(hash=hash_of(key), **asked)
    if as_json:
        print(to_json({"name": name, "key": key, **row.model_dump()}))
        return
    # JSON's numbers, texts and lists of texts are TOML's as well.
    lines = (f"{field} = {to_json(value)}" for field, value in row.model_dump(exclude_none=True).items())
    console().print(
        f"The key, which is shown this once:\n\n{key}\n\nFor settings.toml; restart the API then:\n\n[keys.{name}]",
        *lines,
        sep="\n",
    )
