"""`jobrunner demo`: from a text to a folder of pictures, and an account of how it went."""

import asyncio
import re
import shlex
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from jobrunner.demo import contact_sheet
from jobrunner.demo.api import Api, reachable
from jobrunner.demo.pictures import Made, Maker, Picture, most_at_once, pictures_of
from jobrunner.demo.story import Story
from jobrunner.errors import ConfigError
from jobrunner.settings import Settings

_SHOWN_PROBLEMS = 5


async def draw(story: Story, out: Path, settings: Settings) -> bool:
    """Whether every picture was made. Raises ConfigError for a folder that cannot be written, Unavailable."""
    console = Console(highlight=False, soft_wrap=True)
    begun = time.perf_counter()
    _make_folder(out)
    console.print(
        f"{story.title}: {len(story.cast)} characters, {len(story.scenes)} scenes", style="bold", markup=False
    )
    async with AsyncExitStack() as stack:
        with console.status("Starting jobrunner ..."):
            api = await stack.enter_async_context(reachable(settings.directory, out / "jobrunner.log"))
        made = await _make_all(pictures_of(story), api, out, console)
        memory = _peak_memory(api.pid)
    contact_sheet.write(out / "index.html", story, made)
    _tell(console, made, memory, time.perf_counter() - begun)
    _tell_where(console, out, api)
    return all(each.file is not None for each in made)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The pictures cannot be kept in {out}: {error.strerror}.") from None


async def _make_all(wanted: Sequence[Picture], api: Api, out: Path, console: Console) -> list[Made]:
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description:>6}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # limit=0: every picture waits on a connection of its own.
    async with aiohttp.ClientSession(api.base_url, connector=aiohttp.TCPConnector(limit=0)) as session:
        maker = Maker(session, out)
        with Progress(*columns, console=console) as progress:
            kinds = [picture.kind for picture in wanted]
            bars = {kind: progress.add_task(kind, total=kinds.count(kind)) for kind in dict.fromkeys(kinds)}

            async def make(picture: Picture) -> Made:
                made = await maker.make(picture)
                progress.advance(bars[picture.kind])
                return made

            return await asyncio.gather(*map(make, wanted))


def _tell(console: Console, made: Sequence[Made], memory: str | None, total_s: float) -> None:
    spans = [each.span for each in made if each.span is not None]
    took = [(end - start).total_seconds() for start, end in spans]
    done = sum(each.file is not None for each in made)
    console.print(
        f"\n[bold]{done} of {len(made)} pictures[/] in {total_s:.1f} s, start and end of the server included."
    )
    if took:
        least, median, most = min(took), statistics.median(took), max(took)
        console.print(f"A job took {least:.1f} s at least, {median:.1f} s in the median, {most:.1f} s at most.")
        console.print(f"Up to {most_at_once(spans)} jobs were in flight at once, in one process.")
    if memory is not None:
        console.print(f"That process, with API and worker, took {memory} at its peak.")
    problems = [each for each in made if each.problem is not None]
    for each in problems[:_SHOWN_PROBLEMS]:
        console.print(Text(each.picture.stem, "red"), each.problem, markup=False)
    if len(problems) > _SHOWN_PROBLEMS:
        console.print(f"[red]... and {len(problems) - _SHOWN_PROBLEMS} more.[/]")


def _tell_where(console: Console, out: Path, api: Api) -> None:
    query = (
        "SELECT task, status, completed_at - started_at AS took, image_url "
        "FROM image_generations ORDER BY created_at DESC LIMIT 10"
    )
    before = "Run `jobrunner services` in another terminal, then:" if api.ours else "Then, as the server still runs:"
    if api.sandboxed:
        console.print("Providers without an API key were played by the sandbox: stand-ins, nothing was bought.")
    lines = (
        f"\nLook at  {(out / 'index.html').resolve()}",
        before,
        "  jobrunner jobs",
        f"  psql {shlex.quote(api.database_url)} -c '{query}'",
    )
    console.print("\n".join(lines), markup=False)


def _peak_memory(pid: int) -> str | None:
    """VmHWM as the kernel counts it; None where there is no /proc, or the process is another's."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return f"{int(found[1]) / 1024:.0f} MiB" if found else None
