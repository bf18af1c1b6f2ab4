"""`jobrunner demo`: from a text to a film in a folder, and an account of how it went."""

import re
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.text import Text

from jobrunner.demo import contact_sheet
from jobrunner.demo.api import reachable
from jobrunner.demo.jobs import JobLost, Jobs
from jobrunner.demo.progress import Bars
from jobrunner.demo.script import shoot
from jobrunner.demo.story import Story
from jobrunner.demo.telling import Account, tell
from jobrunner.errors import ConfigError
from jobrunner.settings import Settings


async def play(story: Story, out: Path, owner: str, settings: Settings) -> bool:
    """Whether the film was made, and minted for the address `owner`.

    Raises ConfigError for a folder that cannot be written, Unavailable.
    """
    console = Console(highlight=False, soft_wrap=True)
    begun = time.perf_counter()
    _make_folder(out)
    console.print(f"{story.title}: a film in {story.scenes} scenes", style="bold", markup=False)
    try:
        async with AsyncExitStack() as stack:
            with console.status("Starting jobrunner ..."):
                api = await stack.enter_async_context(reachable(settings.directory, out / "jobrunner.log"))
            # limit=0: every job waits on a connection of its own.
            session = aiohttp.ClientSession(api.base_url, connector=aiohttp.TCPConnector(limit=0))
            jobs = Jobs(await stack.enter_async_context(session), stack.enter_context(Bars(console)))
            film = await shoot(story, jobs, out, owner)
            memory = _peak_memory(api.pid)
    except (JobLost, OSError) as error:
        console.print(Text("There is no film:", "red"), str(error), markup=False)
        return False
    contact_sheet.write(out / "index.html", story, film)
    tell(console, Account(film, jobs.done, api, out, memory, time.perf_counter() - begun))
    return True


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The film cannot be kept in {out}: {error.strerror}.") from None


def _peak_memory(pid: int) -> str | None:
    """VmHWM as the kernel counts it; None where there is no /proc, or the process is another's."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return f"{int(found[1]) / 1024:.0f} MiB" if found else None
