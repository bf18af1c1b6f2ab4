"""What a wish becomes at Replicate, whose models each name their own inputs."""

from typing import Any
from uuid import UUID

import pytest

from jobrunner.errors import PermanentError
from jobrunner.providers.replicate_inputs import input_of
from jobrunner.request import (
    NARRATOR,
    ImageEdit,
    ImageRequest,
    MusicRequest,
    Request,
    SoundRequest,
    SpeechRequest,
    TextRequest,
)
from jobrunner.work import Artifact, file_mark

PICTURE = Artifact(UUID(int=1), None, "image", "image/png", 10_000, "00", "picture.png", 64, 64)
MARK = file_mark(PICTURE)


@pytest.mark.parametrize(
    ("model", "request_", "expected"),
    [
        ("black-forest-labs/flux-kontext-pro", ImageEdit(PICTURE, "x"), {"input_image": MARK}),
        ("black-forest-labs/flux-kontext-pro", ImageEdit(PICTURE, "x"), {"aspect_ratio": "match_input_image"}),
        ("google/nano-banana", ImageEdit(PICTURE, "x", size=(9, 9)), {"image_input": [MARK], "aspect_ratio": "1:1"}),
        ("bytedance/seedream-4", ImageRequest("x", references=(PICTURE,)), {"image_input": [MARK]}),
        ("black-forest-labs/flux-schnell", ImageRequest("x", size=(512, 512)), {"megapixels": "0.25"}),
        ("minimax/speech-02-turbo", SpeechRequest("hi", NARRATOR), {"text": "hi", "voice_id": "Wise_Woman"}),
        ("minimax/speech-02-turbo", SpeechRequest("hi", "Bob", speed=1.5), {"voice_id": "Bob", "speed": 1.5}),
        ("elevenlabs/v3", SpeechRequest("hi", NARRATOR, "de"), {"prompt": "hi", "language_code": "de"}),
        ("some/tts", SpeechRequest("hi", "Ann"), {"text": "hi", "voice": "Ann"}),
        ("stability-ai/stable-audio-2.5", MusicRequest("a harp", 12.4), {"prompt": "a harp", "duration": 12}),
        ("elevenlabs/music", MusicRequest("a harp", 12.4), {"music_length_ms": 12_400, "force_instrumental": True}),
        ("some/sounds", SoundRequest("a bell", 0.5), {"prompt": "a bell", "duration": 1}),
    ],
)
def test_a_wish_is_said_in_the_models_names(model: str, request_: Request, expected: dict[str, Any]) -> None:
    assert expected.items() <= input_of(model, request_)[0].items()


def test_a_model_without_a_known_narrator_speaks_in_its_own_voice() -> None:
    assert input_of("some/tts", SpeechRequest("hi", NARRATOR))[0] == {"text": "hi", "speed": 1.0}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ImageEdit(PICTURE, "x", mask=PICTURE), "mask"),
        (ImageEdit(PICTURE, "x", n=2), "n"),
        (ImageRequest("x", references=(PICTURE,)), "references"),
        (SpeechRequest("hi", "Ann", speed=3.0), "speed"),
        (TextRequest("x", "y"), "route"),
    ],
)
def test_what_would_be_left_out_in_silence_is_refused(request_: Request, field: str) -> None:
    with pytest.raises(PermanentError, match=f"`{field}`") as error:
        input_of("black-forest-labs/flux-kontext-pro", request_)
    assert error.value.code == "unsupported_input"
