"""What a provider's status, body and words mean; and what the drivers ask for."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobrunner.errors import AttemptError, PermanentError, RateLimited, SubmitUnknown, TransientError
from jobrunner.net import Net
from jobrunner.providers.answers import judged, outputs_in, refusal
from jobrunner.providers.openai import OpenAI
from jobrunner.providers.replicate import Replicate
from jobrunner.request import ImageRequest
from jobrunner.settings.tables import Provider
from jobrunner.work import Artifact, Output

OPENAI = OpenAI(Net(), Provider())
REPLICATE = Replicate(Net(), Provider())


def openai_error(code: str, message: str = "no") -> dict[str, Any]:
    return {"error": {"message": message, "type": "t", "param": None, "code": code}}


def refused(
    status: int, body: Any = None, headers: Mapping[str, str] | None = None, *, create: bool = True
) -> AttemptError:
    raw = b"<html>" if body is None else json.dumps(body).encode()
    return refusal("sandbox", status, headers or {}, raw, create=create)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, openai_error("invalid_value"), "invalid_input"),
        (400, openai_error("moderation_blocked"), "content_policy"),
        (400, openai_error("content_policy_violation"), "content_policy"),
        (400, openai_error("billing_hard_limit_reached"), "provider_quota"),
        (429, openai_error("insufficient_quota"), "provider_quota"),
        (401, openai_error("invalid_api_key", "Incorrect key sk-CANARY"), "provider_auth"),
        (403, openai_error("unsupported_country"), "provider_auth"),
        (404, openai_error("model_not_found"), "provider_not_found"),
        (402, {"title": "Insufficient credit", "detail": "You have no credit."}, "provider_quota"),
        (422, {"title": "Input validation failed", "detail": "- input: prompt is required"}, "invalid_input"),
        (413, None, "invalid_input"),
    ],
)
def test_a_refusal_for_good(status: int, body: Any, code: str) -> None:
    error = refused(status, body)
    assert type(error) is PermanentError
    assert error.code == code
    assert "CANARY" not in str(error)


@pytest.mark.parametrize(
    ("status", "body", "create", "kind"),
    [
        (429, openai_error("rate_limit_exceeded"), True, RateLimited),
        (500, openai_error("server_error"), True, TransientError),
        (503, {"detail": "overloaded"}, True, TransientError),
        (503, None, True, SubmitUnknown),
        (502, openai_error("server_error"), True, SubmitUnknown),
        (504, None, True, SubmitUnknown),
        (504, None, False, TransientError),
        (529, openai_error("overloaded"), True, TransientError),
        (408, None, True, TransientError),
        (409, None, True, TransientError),
    ],
)
def test_a_refusal_for_now(status: int, body: Any, *, create: bool, kind: type[AttemptError]) -> None:
    assert type(refused(status, body, create=create)) is kind


@pytest.mark.parametrize(
    ("headers", "detail", "wait_s"),
    [
        ({"Retry-After": "4"}, "throttled", 4.0),
        ({"retry-after-ms": "1500"}, "throttled", 1.5),
        ({}, "Request was throttled. Your rate limit resets in ~30s.", 30.0),
        ({"Retry-After": "2"}, "Your rate limit resets in ~30s.", 2.0),
        ({}, "throttled", None),
    ],
)
def test_how_long_a_rate_limit_lasts(headers: dict[str, str], detail: str, wait_s: float | None) -> None:
    error = refused(429, {"detail": detail}, headers)
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == wait_s


def test_the_source_is_named_and_words_are_made_safe() -> None:
    error = refused(400, openai_error("invalid_value", "a\x00b\n\n" + "c" * 1000), {"x-request-id": "req_1"})
    assert error.record() | {"message": ""} == {
        "code": "invalid_input",
        "message": "",
        "retryable": False,
        "provider": "sandbox",
        "request_id": "req_1",
        "provider_code": "invalid_value",
    }
    assert "\x00" not in str(error)
    assert len(str(error)) < 600


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ("NSFW content detected. Try running it again.", None, "content_policy"),
        ("The input or output was flagged as sensitive. (E005)", "E005", "content_policy"),
        ("CUDA out of memory (E1001)", "E1001", "provider_failed"),
        ("", None, "provider_failed"),
        ("busy", "server_error", "transient"),
    ],
)
def test_a_failure_in_a_good_answer(words: str, code: str | None, expected: str) -> None:
    assert judged("sandbox", words, code).code == expected


def test_files_are_found_in_an_answer_of_any_shape() -> None:
    urls = [
        "https://h/1.png",
        "https://h/2",
        "data:image/webp;base64,AA==",
        "https://h/clip.mp4?sig=x",
        "https://h/3.mp3",
    ]
    noise = ["words", "data:text/plain,x", "ftp://h/4.png", None, 5, "https://h/data.json"]
    found = list(outputs_in({"a": [urls[0], noise, {"b": urls[1:3]}], "c": urls[3:]}))
    assert [output.url for output in found] == urls
    assert [output.kind for output in found] == ["image", "image", "image", "video", "audio"]
    assert list(outputs_in("https://h/only.png")) == [Output("image", url="https://h/only.png")]
    assert list(outputs_in(None)) == []


@pytest.mark.parametrize(
    ("model", "size", "sent"),
    [
        ("gpt-image-1.5", None, "auto"),
        ("gpt-image-1.5", (1000, 1000), "1024x1024"),
        ("gpt-image-1-mini", (1920, 1080), "1536x1024"),
        ("gpt-image-1.5", (600, 1000), "1024x1536"),
        ("gpt-image-2", (1280, 720), "1280x720"),
        ("gpt-image-2.5-flare", (1000, 1000), "992x992"),
        ("gpt-image-2", (7680, 4320), "3840x2160"),
        ("gpt-image-2", (4000, 100), "3840x1280"),
        ("gpt-image-2", (500, 3000), "1008x3008"),
    ],
)
def test_openai_draws_the_nearest_size(model: str, size: tuple[int, int] | None, sent: str) -> None:
    assert OPENAI.prepare(model, ImageRequest("a cat", size=size)).body["size"] == sent


@given(st.integers(16, 20_000), st.integers(16, 20_000))
def test_openai_is_asked_only_for_sizes_it_draws(width: int, height: int) -> None:
    sent = OPENAI.prepare("gpt-image-2", ImageRequest("a cat", size=(width, height))).body["size"]
    short, long = sorted(int(side) for side in sent.split("x"))
    assert short % 16 == long % 16 == 0
    assert long <= 3 * short
    assert 16 <= short <= 2160
    assert long <= 3840


def test_openai_takes_no_seed() -> None:
    plan = OPENAI.prepare("gpt-image-2", ImageRequest("a cat", n=2, seed=7))
    expected = {"model": "gpt-image-2", "prompt": "a cat", "n": 2, "size": "auto", "output_format": "png"}
    assert (plan.endpoint, plan.body) == ("images/generations", expected)


@pytest.mark.parametrize(
    ("size", "sent"),
    [
        ((1024, 1024), "1:1"),
        ((1920, 1080), "16:9"),
        ((1080, 1920), "9:16"),
        ((3000, 1000), "21:9"),
        ((832, 1024), "4:5"),
    ],
)
def test_replicate_draws_the_nearest_ratio(size: tuple[int, int], sent: str) -> None:
    plan = REPLICATE.prepare("black-forest-labs/flux-schnell", ImageRequest("a cat", n=2, size=size, seed=7))
    drawn = {"prompt": "a cat", "num_outputs": 2, "seed": 7, "aspect_ratio": sent, "output_format": "png"}
    assert (plan.endpoint, plan.body) == ("v1/models/black-forest-labs/flux-schnell/predictions", {"input": drawn})


@pytest.mark.parametrize("model", ["me/mine:" + "ab" * 32, "ab" * 32])
def test_replicate_names_a_version(model: str) -> None:
    plan = REPLICATE.prepare(model, ImageRequest("a cat"))
    assert (plan.endpoint, plan.body["version"]) == ("v1/predictions", "ab" * 32)


PICTURE = Artifact(UUID(int=1), None, "image", "image/png", 9, "00", "01/a.png", 8, 8)


@pytest.mark.parametrize(
    ("driver", "model", "request_", "field"),
    [
        (OPENAI, "gpt-image-2", ImageRequest("a", references=(PICTURE,) * 17), "references"),
        (OPENAI, "gpt-image-2", ImageRequest("a" * 32_001), "prompt"),
        (OPENAI, "gpt-image-2", ImageRequest("a", n=11), "n"),
        (REPLICATE, "a/b", ImageRequest("a", references=(PICTURE,)), "references"),
        (REPLICATE, "../../admin", ImageRequest("a"), "model"),
        (REPLICATE, "flux", ImageRequest("a"), "model"),
    ],
)
def test_what_a_model_cannot_do_names_the_field(
    driver: OpenAI | Replicate, model: str, request_: ImageRequest, field: str
) -> None:
    with pytest.raises(PermanentError, match=f"`{field}`") as refused_:
        driver.prepare(model, request_)
    assert refused_.value.code == "unsupported_input"
