"""A plan's files on their way into a provider's JSON body, as data: URIs (RFC 2397)."""

import asyncio
import base64
from typing import Any

from jobrunner.providers.driver import Desk
from jobrunner.work import Artifact, Plan, fill


def inlined_bytes(artifact: Artifact) -> int:
    """How long its data: URI will be."""
    return len(f"data:{artifact.mime};base64,") + (artifact.size_bytes + 2) // 3 * 4


async def inlined(plan: Plan, desk: Desk) -> Any:
    """The plan's body with a data: URI in the place of each file."""
    return fill(plan.body, {str(file.id): await data_uri(file, desk) for file in plan.files})


async def data_uri(file: Artifact, desk: Desk) -> str:
    raw = await asyncio.to_thread(desk.path_of(file).read_bytes)
    return f"data:{file.mime};base64,{base64.b64encode(raw).decode()}"
