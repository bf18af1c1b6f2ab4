"""`demo`: the main job on real input."""

from pathlib import Path

import click

from jobrunner.cli.process import Signals, data_dir_option, run, settings_of
from jobrunner.demo import main, story


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out/demo"), show_default=True)
@click.option("--story", "path", type=click.Path(path_type=Path), help="A text of your own, instead of Oscar Wilde's.")
@data_dir_option
def demo(out: Path, path: Path | None, data_dir: Path | None) -> None:
    """Draw a short story's cast and scenes, all at once, into a folder with an index.html.

    Uses the `jobrunner up` that runs on the data directory, or starts one that ends with the demo.
    """
    settings = settings_of(data_dir)
    text = story.shipped() if path is None else story.read(path)

    async def program(_signals: Signals) -> bool:
        return await main.draw(text, out, settings)

    if not run(program):
        raise click.exceptions.Exit(1)
