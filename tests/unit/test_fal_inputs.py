"""What fal's models are given for a request, and what is refused before anything is sent."""

from typing import Any
from uuid import UUID

import pytest

from jobrunner.errors import PermanentError
from jobrunner.net import Net
from jobrunner.providers.fal import Fal
from jobrunner.providers.fal_inputs import storage_urls
from jobrunner.request import (
    ImageEdit,
    ImageRequest,
    LipsyncRequest,
    MusicRequest,
    Request,
    SoundRequest,
    SpeechRequest,
    TextRequest,
    VideoRequest,
)
from jobrunner.settings.tables import Provider
from jobrunner.work import Artifact, file_mark

FAL = Fal(Net(), Provider())
FLUX = "fal-ai/flux/schnell"
EDIT = "fal-ai/nano-banana/edit"
PICTURE = Artifact(UUID(int=1), None, "image", "image/png", 999, "00", "picture.png", 64, 64)
CLIP = Artifact(UUID(int=2), None, "video", "video/mp4", 999, "00", "clip.mp4")
VOICE = Artifact(UUID(int=3), None, "audio", "audio/mpeg", 999, "00", "voice.mp3")


@pytest.mark.parametrize(
    ("model", "request_", "body"),
    [
        (
            FLUX,
            ImageRequest("a cat", n=2, size=(640, 480), seed=7),
            {"prompt": "a cat", "num_images": 2, "image_size": {"width": 640, "height": 480}, "seed": 7},
        ),
        (EDIT, ImageRequest("a cat", references=(PICTURE,)), {"num_images": 1, "image_urls": [file_mark(PICTURE)]}),
        (EDIT, ImageEdit(PICTURE, "in red"), {"prompt": "in red", "image_urls": [file_mark(PICTURE)]}),
        (
            "fal-ai/kling-video/v2.1/master/image-to-video",
            VideoRequest("a cat", 4.6, size=(1080, 1920), image=PICTURE),
            {"duration": "5", "aspect_ratio": "9:16", "image_url": file_mark(PICTURE)},
        ),
        ("fal-ai/veo3", VideoRequest("a cat", 8.0), {"duration": "8s", "aspect_ratio": "16:9"}),
        (
            "fal-ai/elevenlabs/tts/eleven-v3",
            SpeechRequest("hello", "Rachel", "en", 1.1),
            {"text": "hello", "voice": "Rachel", "language_code": "en", "speed": 1.1},
        ),
        (
            "fal-ai/ace-step/prompt-to-audio",
            MusicRequest("a waltz", 20.0),
            {"prompt": "a waltz", "duration": 20, "instrumental": True},
        ),
        ("cassetteai/sound-effects-generator", SoundRequest("rain", 0.4), {"prompt": "rain", "duration": 1}),
        (
            "fal-ai/sync-lipsync/v2",
            LipsyncRequest(CLIP, VOICE, "loop"),
            {"video_url": file_mark(CLIP), "audio_url": file_mark(VOICE), "sync_mode": "loop"},
        ),
    ],
)
def test_a_request_is_put_in_the_names_of_its_models(model: str, request_: Request, body: dict[str, Any]) -> None:
    plan = FAL.prepare(model, request_)
    assert {key: plan.body.get(key) for key in body} == body
    assert None not in plan.body.values()
    assert plan.endpoint == model
    assert request_.route in FAL.capabilities.routes


@pytest.mark.parametrize(
    ("model", "request_", "names"),
    [
        ("flux", ImageRequest("a cat"), "`model`"),
        ("fal-ai/../admin", ImageRequest("a cat"), "`model`"),
        (FLUX, TextRequest("", "a poem"), "`route`"),
        (FLUX, ImageRequest("a cat", references=(PICTURE,)), "`references`"),
        (EDIT, ImageEdit(PICTURE, "in red", mask=PICTURE), "`mask`"),
        ("fal-ai/wan/text-to-video", VideoRequest("a cat", image=PICTURE), "`image`"),
        (
            EDIT,
            ImageEdit(Artifact(UUID(int=4), None, "image", "image/png", 10**9, "00", "k"), "in red"),
            "`files`.*1,000,000,000",
        ),
    ],
)
def test_what_is_not_spoken_names_the_field(model: str, request_: Request, names: str) -> None:
    with pytest.raises(PermanentError, match=names) as error:
        FAL.prepare(model, request_)
    assert error.value.code == "unsupported_input"


@pytest.mark.parametrize(
    ("base_url", "rest", "cdn"),
    [
        (None, "https://rest.fal.ai", "https://v3.fal.media"),
        ("https://queue.fal.run/", "https://rest.fal.ai", "https://v3.fal.media"),
        ("http://127.0.0.1:9/fal", "http://127.0.0.1:9/fal/rest", "http://127.0.0.1:9/fal/cdn"),
    ],
)
def test_uploads_go_to_fal_itself_or_to_what_stands_for_it(base_url: str | None, rest: str, cdn: str) -> None:
    assert storage_urls(base_url) == (rest, cdn)
