"""The lipsync task: what its params allow, what it orders, and what it answers."""

from typing import Any

import pytest

from jobrunner.errors import InvalidParams
from jobrunner.request import LipsyncRequest
from jobrunner.tasks.lipsync import lipsync_video
from tests.unit.test_video_task import CLIP, VOICE, Context

SAID = {"user_id": "u1", "video": str(CLIP.id), "audio": "https://h/voice.mp3"}


@pytest.mark.parametrize("more", [{}, {"sync_mode": "remap"}])
async def test_a_video_and_a_sound_become_one_order(more: dict[str, Any]) -> None:
    context = Context()
    result = await lipsync_video(context, lipsync_video.validate(SAID | more))
    assert context.ordered == [LipsyncRequest(CLIP, VOICE, more.get("sync_mode", "cut_off"))]
    assert context.asked == [(SAID["video"], "video"), (SAID["audio"], "audio")]
    assert (result.artifact_id, result.duration_s) == (str(CLIP.id), 5.0)


@pytest.mark.parametrize("more", [{"sync_mode": "stretch"}, {"audio": "/etc/passwd"}, {"video": None}])
def test_what_cannot_be_synced_is_refused_when_it_is_submitted(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams, match=next(iter(more))):
        lipsync_video.validate(SAID | more)
