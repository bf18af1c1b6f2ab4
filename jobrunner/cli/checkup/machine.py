"""The machine that we run on: what is installed, and whether files can be made and kept."""

import asyncio
import platform
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from jobrunner.errors import AttemptError
from jobrunner.media.examining import inspected
from jobrunner.media.ffmpeg import binary, ffmpeg
from jobrunner.media.montage import blink
from jobrunner.observe.probes import Check, Checks
from jobrunner.settings import Settings
from jobrunner.store.artifacts import FileArtifacts
from jobrunner.worker.arq_worker import KNOWN_ARQ

FREE_BYTES = 1 << 30
"""Clips are spooled, rendered and kept: where less space than this is free, soon none is."""


async def machine(settings: Settings) -> Checks:
    return {
        "disk": await asyncio.to_thread(disk, settings),
        "artifacts": await artifacts(settings),
        "ffmpeg": await rendering(),
    }


def versions() -> Check:
    found = version("arq")
    if found != KNOWN_ARQ:
        return Check(ok=False, detail=f"arq is {found}, and must be {KNOWN_ARQ}: `pip install arq=={KNOWN_ARQ}`")
    return Check(ok=True, detail=f"jobrunner {version('jobrunner')}, Python {platform.python_version()}, arq {found}")


def disk(settings: Settings) -> Check:
    """Where spools and artifacts are, or would be made."""
    places = {_standing(each) for each in (settings.directory, settings.artifact_dir)}
    try:
        for place in places:
            tempfile.TemporaryFile(dir=place).close()
        free = {place: shutil.disk_usage(place).free for place in sorted(places)}
    except OSError as error:
        return Check(ok=False, detail=f"{error.strerror}: {error.filename}; give this user a data_dir to write to")
    said = "; ".join(f"{size / 2**30:,.1f} GiB free in {place}" for place, size in free.items())
    if min(free.values()) < FREE_BYTES:
        return Check(ok=False, detail=f"{said}: make room, or set retention.jobs_days")
    return Check(ok=True, detail=said)


async def artifacts(settings: Settings) -> Check:
    """Keeps a small file there, as a job would, and takes it away again."""
    place, key = settings.artifact_dir, f"00/{uuid4()}"
    if settings.artifacts.url is not None and not place.is_dir():
        return Check(ok=False, detail=f"artifacts.url names {place}, which is not there: mount or make it")
    files = FileArtifacts(place)
    try:
        with tempfile.NamedTemporaryFile() as source:
            await files.put(Path(source.name), key)
        await files.delete([key])
    except OSError as error:
        return Check(ok=False, detail=f"{error.strerror}: {error.filename}; let this user write there")
    return Check(ok=True, detail=f"kept in {place}")


async def rendering() -> Check:
    """Renders a blink and looks into it: what a merge needs, with all its limits."""
    try:
        with tempfile.TemporaryDirectory(prefix="jobrunner-doctor-") as directory:
            clip = Path(directory, "blink.mp4")
            await ffmpeg(blink(), into=clip)
            info = await inspected(clip)
            return Check(ok=info.kind == "video", detail=f"{binary()} renders {info.mime}")
    except AttemptError as error:
        return Check(ok=False, detail=str(error))


def _standing(path: Path) -> Path:
    """The nearest directory above that exists."""
    return next(each for each in (path, *path.parents) if each.is_dir())
