"""What depends on what in the demo's film, with jobs that end when the test says so."""

import asyncio
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from jobrunner.demo.jobs import JobLost, Jobs
from jobrunner.demo.script import Film, shoot
from jobrunner.demo.story import parse

PLAY = {
    "characters": [{"name": "Giant", "description": "Tall."}],
    "scenes": [
        {"number": 1, "description": "A garden.", "narration": "Once.", "lines": []},
        {
            "number": 2,
            "description": "A wall.",
            "narration": "Then.",
            "lines": [
                {"speaker": "Giant", "text": "Mine!"},
                {"speaker": "Snow", "text": "Ours!"},
                {"speaker": "Giant", "text": "One line too many!"},
            ],
        },
    ],
}


class Desk:
    """Jobs that are done at once, but for those of which `held` words are a param; `asked` holds all of them."""

    def __init__(self, held: str | None = None) -> None:
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.released = asyncio.Event()
        self._held = held
        self._numbers = count(1)

    async def run(self, task: str, **params: Any) -> Mapping[str, Any]:
        self.asked.append((task, params))
        id = f"{task} {next(self._numbers)}"
        if self._held in params.values():
            await self.released.wait()
        await asyncio.sleep(0)
        result = PLAY if task == "write_screenplay" else {"artifact_id": id, "duration_s": params.get("duration_s", 2)}
        return {"result": result, "artifacts": [{"mime": "image/png"}]}

    async def download(self, job: Mapping[str, Any], to: Path) -> None:
        pass

    def tasks(self) -> list[str]:
        return [task for task, _ in self.asked]

    def of(self, task: str) -> list[Mapping[str, Any]]:
        return [params for asked, params in self.asked if asked == task]


async def film(desk: Desk) -> Film:
    return await shoot(parse("A garden. A wall."), cast("Jobs", desk), Path("out"), "0xowner")


async def settled(desk: Desk) -> None:
    """Until nothing more is asked for."""
    seen = -1
    while seen < len(desk.asked):
        seen = len(desk.asked)
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("held", "clips", "lips", "music"),
    [
        ("Once.", 3, 2, 0),  # a narration: its own clip waits, and the music, which is as long as all that is spoken
        ("Giant", 3, 1, 1),  # a portrait: one close-up waits
        ("A garden.", 3, 2, 1),  # a scene's picture: its clip waits
    ],
)
async def test_nothing_waits_for_what_it_is_not_made_from(held: str, clips: int, lips: int, music: int) -> None:
    desk = Desk(held)
    shooting = asyncio.create_task(film(desk))
    await settled(desk)
    asked = desk.tasks()
    assert (asked.count("generate_scene_video"), asked.count("lipsync_video")) == (clips, lips)
    assert (asked.count("generate_music"), asked.count("merge_videos")) == (music, 0)
    desk.released.set()
    await shooting
    assert desk.tasks()[-4:] == ["merge_videos", "add_audio", "add_subtitles", "mint_nft"]


async def test_the_cut_keeps_the_order_of_the_script() -> None:
    desk = Desk("A garden.")  # the first clip is made last
    shooting = asyncio.create_task(film(desk))
    await settled(desk)
    desk.released.set()
    made = await shooting
    (merge,) = desk.of("merge_videos")
    assert [clip.split()[0] for clip in merge["clips"]] == [
        *("generate_scene_video", "generate_scene_video", "lipsync_video", "lipsync_video")
    ]
    first, second = (int(clip.split()[1]) for clip in merge["clips"][:2])
    assert first > second
    assert merge["transitions"] == ["crossfade", "cut", "cut"]
    (subtitles,) = desk.of("add_subtitles")
    assert [cue["text"] for cue in subtitles["cues"]] == ["Once.", "Then.", "Giant: Mine!", "Snow: Ours!"]
    (mixed,) = desk.of("add_audio")
    starts_s = [track.get("start_s") for track in mixed["tracks"]]
    assert starts_s == [pytest.approx(0.9), pytest.approx(4.3), None]  # behind a clip of 4 s, less the fade of 0.6 s
    assert [track.get("duck", False) for track in mixed["tracks"]] == [False, False, True]
    assert desk.of("mint_nft")[0]["to"] == "0xowner"
    assert [picture.file for picture in made.cast] == ["cast-01-giant.png", "cast-02-snow.png"]
    assert [picture.file for picture in made.scenes] == ["scene-01.png", "scene-02.png"]


async def test_the_first_loss_ends_the_film() -> None:
    class Losing(Desk):
        async def run(self, task: str, **params: Any) -> Mapping[str, Any]:
            if task == "generate_scene_image":
                raise JobLost("no paint")
            return await super().run(task, **params)

    desk = Losing("Once.")
    with pytest.raises(JobLost, match="no paint"):
        await film(desk)
