"""What depends on what in a film: everything begins as soon as that is there which it is made from."""

import asyncio
import mimetypes
import re
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobrunner.demo import crew
from jobrunner.demo.cutting import NARRATION_S, Scene, Shot, Speech, film_s, narrated_s, said_s
from jobrunner.demo.jobs import Job, Jobs
from jobrunner.demo.story import Story

FILM = "film.mp4"
MOST_LINES = 2
"""Of one scene: each is a clip of its own."""

Words = Mapping[str, Any]
"""A scene of the screenplay, or the whole of it, as `write_screenplay` declares it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture on the contact sheet; `file` is its name in the folder."""

    title: str
    caption: str
    file: str


@dataclass(frozen=True, slots=True)
class Film:
    """`job` made the film, `token` is the job that minted it; each as the API shows it."""

    cast: Sequence[Picture]
    scenes: Sequence[Picture]
    job: Job
    token: Job


async def shoot(story: Story, jobs: Jobs, out: Path, owner: str) -> Film:
    """Make the film of `story`, keep it and its pictures in `out`, and mint it for the address `owner`.

    Raises JobLost, OSError.
    """
    try:
        async with asyncio.TaskGroup() as group:
            play = await crew.screenplay(jobs, story)
            shooting = _Shooting(jobs, out, group, play)
            job = await shooting.film(story.title)
            group.create_task(jobs.download(job, out / FILM))
            token = await crew.minted(jobs, job, story, owner)
            return Film(shooting.portraits(), shooting.sceneries(), job, token)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None  # it ended all the others


class _Shooting:
    """Pictures and speeches begin at once; all else awaits those that it is made from."""

    def __init__(self, jobs: Jobs, out: Path, group: asyncio.TaskGroup, play: Words) -> None:
        self._jobs = jobs
        self._out = out
        self._begin = group.create_task
        self._scenes: Sequence[Words] = play["scenes"]
        self._cast = _cast(play)
        self._portraits = {
            name: self._begin(self._drawn(crew.portrait(jobs, number, name, self._cast[name]), stem))
            for number, (name, stem) in enumerate(self._cast_stems().items(), 1)
        }
        self._sceneries = [
            self._begin(self._drawn(crew.scenery(jobs, scene["number"], scene["description"]), _stem(scene)))
            for scene in self._scenes
        ]
        self._narrations = [self._begin(crew.speech(jobs, scene["narration"])) for scene in self._scenes]
        self._lines = [[self._begin(self._spoken(line)) for line in _lines(scene)] for scene in self._scenes]

    async def film(self, title: str) -> Job:
        shots = [self._begin(self._shots(n)) for n in range(len(self._scenes))]
        tune = self._begin(self._music(title))
        scenes = [await each for each in shots]
        silent = await crew.joined(self._jobs, scenes)
        heard = await crew.mixed(self._jobs, silent, scenes, await tune)
        return await crew.subtitled(self._jobs, heard, scenes)

    def portraits(self) -> list[Picture]:
        """For who has awaited the film."""
        stems = self._cast_stems()
        return [
            Picture(name, self._cast[name], _file(stems[name], drawing.result()))
            for name, drawing in self._portraits.items()
        ]

    def sceneries(self) -> list[Picture]:
        """For who has awaited the film."""
        return [
            Picture(f"Scene {scene['number']}", scene["description"], _file(_stem(scene), drawing.result()))
            for scene, drawing in zip(self._scenes, self._sceneries, strict=True)
        ]

    async def _shots(self, n: int) -> Scene:
        """Of scene `n`, counted from 0: it is narrated, and then who speaks is seen from near."""
        said = zip(_lines(self._scenes[n]), self._lines[n], strict=True)
        return await asyncio.gather(self._narrated(n), *(self._said(line["speaker"], speech) for line, speech in said))

    async def _narrated(self, n: int) -> Shot:
        picture, speech = await self._sceneries[n], await self._narrations[n]
        made = await crew.clip(self._jobs, picture, self._scenes[n]["description"], narrated_s(speech))
        return _shot(made, speech, NARRATION_S)

    async def _said(self, who: str, line: asyncio.Task[Speech]) -> Shot:
        portrait, speech = await self._portraits[who], await line
        close_up = await crew.clip(self._jobs, portrait, f"Close-up: {who} speaks.", said_s(speech))
        return _shot(await crew.lips(self._jobs, close_up, speech), speech, 0.0)

    async def _spoken(self, line: Words) -> Speech:
        who = line["speaker"]
        return await crew.speech(self._jobs, line["text"], crew.voice_of(self._cast[who]), who)

    async def _music(self, title: str) -> str:
        """As long as the film will be, which is known once everything is spoken."""
        lengths_s = [
            [narrated_s(await narration), *[said_s(await line) for line in lines]]
            for narration, lines in zip(self._narrations, self._lines, strict=True)
        ]
        return await crew.music(self._jobs, title, film_s(lengths_s))

    async def _drawn(self, drawing: Coroutine[Any, Any, Job], stem: str) -> Job:
        """The download goes on beside what the picture is needed for."""
        picture = await drawing
        self._begin(self._jobs.download(picture, self._out / _file(stem, picture)))
        return picture

    def _cast_stems(self) -> dict[str, str]:
        slugs = {name: re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in self._cast}
        return {name: f"cast-{number:02}-{slug}".rstrip("-") for number, (name, slug) in enumerate(slugs.items(), 1)}


def _cast(play: Words) -> dict[str, str]:
    """Who is described; and who speaks without having been, with the scene it happens in."""
    heard = {line["speaker"]: scene["description"] for scene in play["scenes"] for line in _lines(scene)}
    return heard | {each["name"]: each["description"] or each["name"] for each in play["characters"]}


def _lines(scene: Words) -> Sequence[Words]:
    lines: Sequence[Words] = scene["lines"][:MOST_LINES]
    return lines


def _shot(clip: Job, speech: Speech, speech_s: float) -> Shot:
    made = clip["result"]
    return Shot(made["artifact_id"], made["duration_s"], speech, speech_s)


def _stem(scene: Words) -> str:
    return f"scene-{scene['number']:02}"


def _file(stem: str, picture: Job) -> str:
    return stem + (mimetypes.guess_extension(picture["artifacts"][0]["mime"]) or "")
