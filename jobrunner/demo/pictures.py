"""The pictures that a story asks for, and how one is made over HTTP: submit, wait, download."""

import asyncio
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import aiohttp

from jobrunner.demo.story import Story

STYLE = "storybook watercolour, soft colours"
USER = "demo"

_WAIT_S = 30
_ANSWER_S = 90.0
_ENDED = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Picture:
    """One job to submit. `stem` names its file, `title` and `caption` stand below it."""

    kind: Literal["cast", "scene"]
    stem: str
    title: str
    caption: str
    task: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """How a picture went: its row as the API shows it, and its file; or why there is none."""

    picture: Picture
    job: Mapping[str, Any] | None
    file: str | None
    problem: str | None = None

    @property
    def span(self) -> tuple[datetime, datetime] | None:
        """When it ran."""
        job = self.job or {}
        started, ended = job.get("started_at"), job.get("completed_at")
        return (datetime.fromisoformat(started), datetime.fromisoformat(ended)) if started and ended else None


def pictures_of(story: Story) -> list[Picture]:
    """The whole cast, then every scene."""
    cast = [
        Picture(
            kind="cast",
            stem=f"cast-{number:02}-{re.sub(r'[^a-z0-9]+', '-', character.name.lower()).strip('-')}",
            title=character.name,
            caption=character.description,
            task="generate_character_image",
            params=_params(
                number, "1024x1024", character_name=character.name, character_description=character.description
            ),
        )
        for number, character in enumerate(story.cast, 1)
    ]
    scenes = [
        Picture(
            kind="scene",
            stem=f"scene-{number:02}",
            title=f"Scene {number}",
            caption=scene,
            task="generate_scene_image",
            params=_params(number, "1216x832", scene_description=scene, scene_number=number),
        )
        for number, scene in enumerate(story.scenes, 1)
    ]
    return cast + scenes


def _params(number: int, size: str, **own: Any) -> dict[str, Any]:
    return {"user_id": USER, "style": STYLE, "size": size, "seed": number, **own}


class Maker:
    """Makes pictures through the API at `session`'s base URL; their files go to `out`."""

    def __init__(self, session: aiohttp.ClientSession, out: Path) -> None:
        self._session = session
        self._out = out

    async def make(self, picture: Picture) -> Made:
        """Never raises for what the API answers or fails to answer: `problem` says it."""
        job: Mapping[str, Any] | None = None
        try:
            job = await self._ask("POST", "/v1/jobs", json={"task": picture.task, "params": picture.params})
            while job.get("status") not in _ENDED:
                job = await self._ask("GET", f"/v1/jobs/{job['id']}", headers={"Prefer": f"wait={_WAIT_S}"})
            if job["status"] != "completed":
                return Made(picture, job, None, f"{job['status']}: {(job['error'] or {}).get('message')}")
            return Made(picture, job, await self._download(picture, job["artifacts"][0]))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Made(picture, job, None, str(error) or type(error).__name__)

    async def _ask(self, method: str, path: str, **request: Any) -> Mapping[str, Any]:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        async with self._session.request(method, path, timeout=timeout, **request) as response:
            body: Mapping[str, Any] = await response.json(content_type=None)
            if not response.ok:
                raise aiohttp.ClientPayloadError(f"{response.status} {body.get('detail')}")
            return body

    async def _download(self, picture: Picture, artifact: Mapping[str, Any]) -> str:
        async with self._session.get(artifact["url"], raise_for_status=True) as response:
            content = await response.read()
        name = picture.stem + (mimetypes.guess_extension(artifact["mime"]) or "")
        await asyncio.to_thread((self._out / name).write_bytes, content)
        return name


def most_at_once(spans: Sequence[tuple[datetime, datetime]]) -> int:
    """How many of the spans overlapped at the busiest moment; one that ends as another begins is over."""
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    most = running = 0
    for _, step in edges:
        running += step
        most = max(most, running)
    return most
