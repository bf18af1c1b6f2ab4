"""Speech, music and effects: what a job may ask for, and what ElevenLabs is asked in turn."""

from typing import Any, cast
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

from jobrunner.declare import TaskContext, TaskSpec
from jobrunner.errors import PermanentError
from jobrunner.net import Net
from jobrunner.providers.elevenlabs import NARRATOR_ID, ElevenLabs
from jobrunner.request import NARRATOR, ImageRequest, MusicRequest, Request, SoundRequest, SpeechRequest
from jobrunner.settings.tables import Provider
from jobrunner.tasks.audio import (
    AudioResult,
    Music,
    SoundEffect,
    Speech,
    generate_music,
    generate_sound_effect,
    generate_speech,
)
from jobrunner.work import Artifact, Generated

ONE = UUID(int=1)
DRIVER = ElevenLabs(Net(), Provider())


class Ordering:
    """The one thing of a context that these tasks use."""

    def __init__(self) -> None:
        self.ordered: list[Request] = []

    async def generate(self, request: Request) -> Generated:
        self.ordered.append(request)
        return Generated(
            (Artifact(ONE, ONE, "audio", "audio/mpeg", 9, "00", "01/a.mp3", duration_s=2.5),), None, {}, None
        )


@pytest.mark.parametrize(
    ("task", "params", "request_"),
    [
        (generate_speech, Speech(user_id="u1", text=" Hello. "), SpeechRequest("Hello.", NARRATOR)),
        (
            generate_speech,
            Speech(user_id="u1", text="Hallo.", voice="v1", language="de", speed=1.1),
            SpeechRequest("Hallo.", "v1", "de", 1.1),
        ),
        (generate_music, Music(user_id="u1", prompt="a harp", length_s=9), MusicRequest("a harp", 9)),
        (generate_sound_effect, SoundEffect(user_id="u1", prompt="a bell", length_s=1), SoundRequest("a bell", 1)),
    ],
)
async def test_a_task_orders_its_sound_and_answers_where_it_is(
    task: TaskSpec[Any, Any], params: BaseModel, request_: Request
) -> None:
    context = Ordering()
    result = await task(cast("TaskContext", context), params)
    assert context.ordered == [request_]
    assert result == AudioResult(url=f"/v1/artifacts/{ONE}", artifact_id=str(ONE), mime="audio/mpeg", duration_s=2.5)
    assert task.module == "audio"


@pytest.mark.parametrize(
    ("model", "params", "field"),
    [
        (Speech, {"text": "   "}, "text"),
        (Speech, {"text": "x" * 40_001}, "text"),
        (Speech, {"text": "x\0"}, "text"),
        (Speech, {"text": "x", "language": "English"}, "language"),
        (Speech, {"text": "x", "speed": 0}, "speed"),
        (Music, {"prompt": "x"}, "length_s"),
        (Music, {"prompt": "x", "length_s": 601}, "length_s"),
        (Music, {"prompt": "x", "length_s": float("nan")}, "length_s"),
        (SoundEffect, {"prompt": "x", "length_s": 0.4}, "length_s"),
        (SoundEffect, {"prompt": "x", "length_s": 1, "tempo": 3}, "tempo"),
    ],
)
def test_params_that_make_no_sound_are_refused_by_name(
    model: type[BaseModel], params: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as error:
        model.model_validate({"user_id": "u1", **params})
    assert [each["loc"] for each in error.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    ("model", "request_", "endpoint", "body"),
    [
        (
            "eleven_multilingual_v2",
            SpeechRequest("Hallo.", NARRATOR, "de"),
            f"v1/text-to-speech/{NARRATOR_ID}",
            {"text": "Hallo."},
        ),
        (
            "eleven_flash_v2_5",
            SpeechRequest("Hallo.", "voice1", "de", 0.9),
            "v1/text-to-speech/voice1",
            {"text": "Hallo.", "language_code": "de", "voice_settings": {"speed": 0.9}},
        ),
        (
            "music_v1",
            MusicRequest("a harp", 3.25, instrumental=False),
            "v1/music",
            {"prompt": "a harp", "music_length_ms": 3250, "force_instrumental": False},
        ),
        (
            "eleven_text_to_sound_v2",
            SoundRequest("a bell", 0.5),
            "v1/sound-generation",
            {"text": "a bell", "duration_seconds": 0.5},
        ),
    ],
)
def test_a_request_becomes_the_services_own_body(
    model: str, request_: Request, endpoint: str, body: dict[str, Any]
) -> None:
    plan = DRIVER.prepare(model, request_)
    assert (plan.endpoint, plan.body) == (endpoint, {**body, "model_id": model})


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ImageRequest("a cat"), "route"),
        (SpeechRequest("Hello.", "../v1/user"), "voice"),
        (SpeechRequest("x" * 10_001, NARRATOR), "text"),
        (SpeechRequest("Hello.", NARRATOR, speed=2.0), "speed"),
        (MusicRequest("a harp", 2.0), "length_s"),
        (SoundRequest("a bell", 31.0), "length_s"),
    ],
)
def test_what_the_service_cannot_make_names_the_field(request_: Request, field: str) -> None:
    with pytest.raises(PermanentError, match=f"`{field}`") as error:
        DRIVER.prepare("eleven_multilingual_v2", request_)
    assert error.value.code == "unsupported_input"
