"""A plan as multipart/form-data, its files streamed from disk."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import aiohttp

from jobrunner.providers.driver import Desk
from jobrunner.work import Artifact, Plan, fill


def unpacked(plan: Plan) -> dict[str, Any]:
    """The plan's body with the artifact itself in the place of each file."""
    return dict(fill(plan.body, {str(file.id): file for file in plan.files}))


@asynccontextmanager
async def form_of(parts: Iterable[tuple[str, Any]], desk: Desk) -> AsyncIterator[aiohttp.FormData]:
    """A part for each (name, value); its files stay open as long as the block lasts."""
    form = aiohttp.FormData(default_to_multipart=True)
    with ExitStack() as opened:
        for part, value in parts:
            if isinstance(value, Artifact):
                path = desk.path_of(value)
                file = opened.enter_context(await asyncio.to_thread(path.open, "rb"))
                form.add_field(part, file, filename=path.name, content_type=value.mime)
            else:
                form.add_field(part, str(value))
        yield form
