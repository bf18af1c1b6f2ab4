"""`demo`: the main job on real input."""

from pathlib import Path

import click
from pydantic import TypeAdapter, ValidationError

from jobrunner.cli.process import Signals, data_dir_option, run, settings_of
from jobrunner.demo import main, story
from jobrunner.tasks.blockchain import Address

OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
"""The second account of a development node, whose key everybody knows."""


def _address(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """Checked before there is a film: the token is the last thing that is made."""
    try:
        return TypeAdapter[str](Address).validate_python(value)
    except ValidationError:
        raise click.BadParameter("an address is 0x and 40 hexadecimal digits.") from None


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out/demo"), show_default=True)
@click.option("--story", "path", type=click.Path(path_type=Path), help="A text of your own, instead of Oscar Wilde's.")
@click.option(
    "--owner",
    default=OWNER,
    metavar="ADDRESS",
    callback=_address,
    help="Who gets the film's token, instead of an account of the sandbox whose key everybody knows.",
)
@data_dir_option
def demo(out: Path, path: Path | None, owner: str, data_dir: Path | None) -> None:
    """Make a short film of a story, with voices and music, into a folder with an index.html, and mint it.

    Uses the `jobrunner up` that runs on the data directory, or starts one that ends with the demo.
    """
    settings = settings_of(data_dir)
    text = story.shipped() if path is None else story.read(path)

    async def program(_signals: Signals) -> bool:
        return await main.play(text, out, owner, settings)

    if not run(program):
        raise click.exceptions.Exit(1)
