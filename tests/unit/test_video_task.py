"""The video task: what its params allow, what it orders, and what it answers."""

from typing import Any
from uuid import UUID

import pytest

from jobrunner.errors import InvalidParams
from jobrunner.request import Request, VideoRequest
from jobrunner.tasks.video import QUIET_MOTION, VideoResult, generate_scene_video
from jobrunner.work import Artifact, Generated, Kind
from tests.context import NoContext

FRAME = Artifact(UUID(int=1), None, "image", "image/png", 9, "00", "01/a.png", 640, 360)
CLIP = Artifact(UUID(int=2), UUID(int=3), "video", "video/mp4", 9, "00", "02/a.mp4", 1280, 720, 5.0)
VOICE = Artifact(UUID(int=4), None, "audio", "audio/mpeg", 9, "00", "03/a.mp3", duration_s=4.0)
KEPT = (FRAME, CLIP, VOICE)


class Context(NoContext):
    """A task's context that answers one clip and keeps a file of each kind."""

    def __init__(self) -> None:
        self.ordered: list[Request] = []
        self.asked: list[tuple[str, Kind | None]] = []

    async def generate(self, request: Request, *, step: str = "generate") -> Generated:
        self.ordered.append(request)
        return Generated((CLIP,), None, {}, None)

    async def input(self, source: str, *, kind: Kind | None) -> Artifact:
        self.asked.append((source, kind))
        return next(each for each in KEPT if each.kind == kind)


@pytest.mark.parametrize(
    ("said", "ordered"),
    [
        ({"scene_description": "A storm."}, VideoRequest("A storm.", 5.0, (1280, 720))),
        (
            {"scene_description": "A storm.", "style": "ink", "duration_s": 8, "size": "720x1280", "seed": 7},
            VideoRequest("A storm. Style: ink.", 8.0, (720, 1280), seed=7),
        ),
        ({"image": str(FRAME.id)}, VideoRequest(QUIET_MOTION, 5.0, (1280, 720), image=FRAME)),
        (
            {"scene_description": "A storm.", "image": "https://h/a.png"},
            VideoRequest("A storm.", 5.0, (1280, 720), image=FRAME),
        ),
    ],
)
async def test_words_a_picture_or_both_become_one_order(said: dict[str, Any], ordered: VideoRequest) -> None:
    context = Context()
    result = await generate_scene_video(context, generate_scene_video.validate({"user_id": "u1", **said}))
    assert context.ordered == [ordered]
    assert context.asked == ([(said["image"], "image")] if "image" in said else [])
    assert result == VideoResult(
        url=CLIP.url, artifact_id=str(CLIP.id), mime="video/mp4", width=1280, height=720, duration_s=5.0
    )


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({}, "give scene_description, image or both"),
        ({"scene_description": "A storm.", "duration_s": 0.5}, "duration_s"),
        ({"image": "/etc/passwd"}, "image"),
        ({"scene_description": "A storm.", "size": "HD"}, "size"),
    ],
)
def test_what_cannot_be_filmed_is_refused_when_it_is_submitted(said: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidParams, match=says):
        generate_scene_video.validate({"user_id": "u1", **said})
