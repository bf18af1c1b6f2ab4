"""What OpenAI is asked for: the body of each endpoint, and what is refused before anything is sent."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from jobrunner.errors import PermanentError
from jobrunner.net import Net
from jobrunner.providers.openai import OpenAI
from jobrunner.providers.openai.schemas import strict
from jobrunner.request import (
    NARRATOR,
    ImageEdit,
    ImageRequest,
    MusicRequest,
    Request,
    SpeechRequest,
    TextRequest,
    VideoRequest,
)
from jobrunner.settings.tables import Provider
from jobrunner.work import Artifact, Plan, file_mark

OPENAI = OpenAI(Net(), Provider())
PICTURE = Artifact(UUID(int=1), None, "image", "image/png", 9, "00", "01/a.png", 8, 8)
MASK = replace(PICTURE, id=UUID(int=2))
SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}}}
STRICT = SCHEMA | {"additionalProperties": False, "required": ["title"]}
ANSWER = {"name": "answer", "strict": True, "schema": STRICT}


def plan(model: str, request: Request) -> Plan:
    """As it comes back from its row."""
    made = OPENAI.prepare(model, request)
    files = [file.to_json() for file in made.files]
    return Plan.from_json({**{name: getattr(made, name) for name in Plan.__slots__}, "files": files})


def test_an_edit_sends_its_files_and_its_instruction() -> None:
    made = plan("gpt-image-2", ImageEdit(PICTURE, "make it night", mask=MASK, n=2, size=(1280, 720)))
    sent = {"model": "gpt-image-2", "prompt": "make it night", "n": 2, "size": "1280x720", "output_format": "png"}
    assert made.endpoint == "images/edits"
    assert made.body == sent | {"image": [file_mark(PICTURE)], "mask": file_mark(MASK)}
    assert made.files == (PICTURE, MASK)


def test_what_shall_look_alike_makes_a_drawing_an_edit() -> None:
    made = plan("gpt-image-2", ImageRequest("the two of them", references=(PICTURE, MASK)))
    assert (made.endpoint, made.body["prompt"]) == ("images/edits", "the two of them")
    assert made.body["image"] == [file_mark(PICTURE), file_mark(MASK)]
    assert "mask" not in made.body


@pytest.mark.parametrize(
    ("model", "request_", "sent"),
    [
        ("sora-2", VideoRequest("x", 5.0, (1920, 1080), seed=7), {"seconds": "4", "size": "1280x720"}),
        ("sora-2", VideoRequest("x", 30.0, (512, 512)), {"seconds": "12", "size": "1280x720"}),
        ("sora-2", VideoRequest("x", 7.0, (720, 1280)), {"seconds": "8", "size": "720x1280"}),
        ("sora-2-pro", VideoRequest("x", 4.0, (1792, 1024)), {"size": "1792x1024"}),
        ("sora-2-pro", VideoRequest("x", 4.0, (1280, 720)), {"size": "1280x720"}),
        ("sora-2", VideoRequest("x", image=PICTURE), {"input_reference": file_mark(PICTURE)}),
    ],
)
def test_a_video_is_the_nearest_that_is_made(model: str, request_: VideoRequest, sent: dict[str, Any]) -> None:
    made = plan(model, request_)
    assert made.endpoint == "videos"
    assert sent.items() <= made.body.items()
    assert made.files == (() if request_.image is None else (PICTURE,))
    assert "seed" not in made.body


def test_speech_is_mp3_in_the_voice_and_pace_that_were_asked_for() -> None:
    made = plan("gpt-4o-mini-tts", SpeechRequest("Hello.", "nova", language="en", speed=1.5))
    said = {"model": "gpt-4o-mini-tts", "input": "Hello.", "voice": "nova", "speed": 1.5, "response_format": "mp3"}
    assert (made.endpoint, made.body) == ("audio/speech", said)


def test_the_narrator_is_a_voice_that_openai_has() -> None:
    assert plan("gpt-4o-mini-tts", SpeechRequest("Hello.", NARRATOR)).body["voice"] == "alloy"


def test_text_is_a_background_response_that_is_kept() -> None:
    made = plan("gpt-5.4-mini", TextRequest("Be brief.", "Why?", schema=SCHEMA, max_tokens=9))
    asked = {"model": "gpt-5.4-mini", "instructions": "Be brief.", "input": "Why?", "background": True, "store": True}
    assert made.endpoint == "responses"
    assert made.body == asked | {"max_output_tokens": 9, "text": {"format": {"type": "json_schema", **ANSWER}}}
    assert OPENAI.capabilities.of(made).handle


def test_a_chat_model_is_asked_by_chat_completions() -> None:
    made = plan("chat/llama", TextRequest("Be brief.", "Why?", schema=SCHEMA, max_tokens=9))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    asked = {"model": "llama", "messages": messages, "max_completion_tokens": 9}
    assert made.endpoint == "chat/completions"
    assert made.body == asked | {"response_format": {"type": "json_schema", "json_schema": ANSWER}}
    assert not OPENAI.capabilities.of(made).handle


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ImageEdit(replace(PICTURE, mime="image/gif"), "x"), "image"),
        (ImageEdit(replace(PICTURE, size_bytes=50 * 2**20), "x"), "image"),
        (ImageEdit(PICTURE, "x", mask=replace(MASK, mime="image/jpeg")), "mask"),
        (ImageEdit(PICTURE, "x", mask=replace(MASK, width=9)), "mask"),
        (ImageEdit(PICTURE, "x", mask=replace(MASK, size_bytes=4 * 2**20)), "mask"),
        (ImageEdit(PICTURE, "x" * 32_001), "instruction"),
        (SpeechRequest("x" * 4097, "nova"), "text"),
        (SpeechRequest("x", "nova", speed=5), "speed"),
        (VideoRequest("x", image=replace(PICTURE, mime="image/gif")), "image"),
        (MusicRequest("x", 3), "route"),
    ],
)
def test_what_openai_does_not_take_is_refused_by_name(request_: Request, field: str) -> None:
    with pytest.raises(PermanentError, match=f"`{field}`") as refused:
        OPENAI.prepare("gpt-image-2", request_)
    assert refused.value.code == "unsupported_input"


class Part(BaseModel):
    title: str = ""
    default: int | None = None


class Whole(BaseModel):
    parts: list[Part] = []


def test_a_strict_schema_closes_every_object_and_keeps_fields_that_are_named_like_keywords() -> None:
    made: Any = strict(Whole.model_json_schema())
    assert (made["required"], made["additionalProperties"]) == (["parts"], False)
    part = made["$defs"]["Part"]
    assert (part["required"], part["additionalProperties"]) == (["title", "default"], False)
    assert all("default" not in each for each in (made["properties"]["parts"], *part["properties"].values()))
