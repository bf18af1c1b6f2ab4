"""What is peculiar to fal: answers that the sandbox does not give, uploads, and what the suite leaves out."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from jobrunner.errors import AttemptError, PermanentError, RateLimited, SubmitUnknown, TransientError
from jobrunner.media.examining import media_info
from jobrunner.net import Net
from jobrunner.providers import fal_inputs
from jobrunner.providers.driver import Desk, Driver, Failed, Finished, Running
from jobrunner.providers.fal import Fal
from jobrunner.request import ImageEdit, ImageRequest, Request, SoundRequest, VideoRequest
from jobrunner.sandbox.artists import artist
from jobrunner.settings.tables import Provider
from jobrunner.work import Handle, Intent, Kind, Output
from tests.integration.drivers.conftest import Bench, Fake
from tests.integration.drivers.inputs import PICTURE

FLUX = "fal-ai/flux/schnell"
EDIT = "fal-ai/nano-banana/edit"
HANDLE = Handle("fal", "fal-ai/flux/requests/r1", urls={"status_url": "https://evil.example/status"})
DONE = {"status": "COMPLETED", "metrics": {"inference_time": 0.7}}


@pytest.fixture
async def fal(fake: Fake) -> AsyncIterator[Fal]:
    fake.authorization = "Key canary"
    driver = Fal(Net(), Provider(base_url=fake.url, api_key=SecretStr("canary")))
    yield driver
    await driver.aclose()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Where the picture lies that requests start from."""
    (tmp_path / PICTURE.key).write_bytes(artist.draw("a hill", 1, 64, 64))
    return Desk(tmp_path, lambda artifact: tmp_path / artifact.key)


def intent(fal: Driver, request: Request | None = None, model: str = FLUX) -> Intent:
    return Intent("k", fal.prepare(model, request or ImageRequest("a cat")))


def refusal(status: int, detail: Any, **headers: str) -> web.Response:
    named = {f"X-Fal-{name}": value for name, value in headers.items()}
    return web.json_response({"detail": detail}, status=status, headers=named)


def listed(type: str, message: str = "no") -> list[dict[str, Any]]:
    return [{"loc": ["body", "prompt"], "msg": message, "type": type, "url": "https://docs.fal.ai/errors"}]


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("fal-ai/flux", "/fal-ai/flux"),
        ("fal-ai/kling-video/v2.5-turbo/pro/text-to-video", "/fal-ai/kling-video"),
        ("workflows/me/mine/fast", "/workflows/me/mine"),
    ],
)
async def test_a_request_is_asked_for_below_owner_and_app_whatever_urls_say(
    fake: Fake, fal: Fal, desk: Desk, model: str, path: str
) -> None:
    evil = {"status_url": "https://evil.example/status", "response_url": "https://evil.example/"}
    fake.answers = [{"request_id": "r1", **evil}, {"status": "IN_QUEUE", "queue_position": 3}, DONE, {"images": []}]
    handle = await fal.submit(intent(fal, model=model), desk)
    assert await fal.poll(handle) == Running()
    await fal.poll(handle)
    asked = [("GET", f"{path}/requests/r1{end}") for end in ("/status", "/status", "")]
    assert fake.seen == [("POST", f"/{model}"), *asked]
    assert handle.urls == evil


@pytest.mark.parametrize("answer", [{"request_id": "../../admin"}, {"request_id": None}, {}, []])
async def test_a_submit_without_a_usable_id_is_unknown(fake: Fake, fal: Fal, desk: Desk, answer: Any) -> None:
    fake.answers = [answer]
    with pytest.raises(SubmitUnknown):
        await fal.submit(intent(fal), desk)


@pytest.mark.parametrize(
    ("result", "code", "retryable"),
    [
        (refusal(422, listed("missing", "Field required")), "invalid_input", False),
        (refusal(422, listed("content_policy_violation")), "content_policy", False),
        (refusal(422, "The input is wrong"), "invalid_input", False),
        (refusal(422, listed("generation_failed"), Retryable="true"), "transient", True),
        (refusal(500, listed("internal_server_error")), "transient", True),
        (refusal(500, listed("internal_server_error"), Retryable="false"), "provider_failed", False),
        (refusal(500, "It broke", Retryable="true"), "transient", True),
        (refusal(504, "Request timed out", **{"Error-Type": "request_timeout"}), "transient", True),
        (refusal(499, "Cancelled", **{"Error-Type": "client_cancelled"}), "provider_cancelled", False),
        (refusal(404, "Request not found"), "artifact_expired", False),
        ({"detail": "The image is too large"}, "provider_failed", False),
        ({"detail": listed("content_policy_violation")}, "content_policy", False),
        ({"detail": "Timed out", "error_type": "request_timeout"}, "transient", True),
        ({"images": [{"url": "https://h/1.png"}], "has_nsfw_concepts": [True]}, "content_policy", False),
        ({"images": [], "seed": 7}, "provider_no_output", False),
    ],
)
async def test_completed_may_hide_a_failure(fake: Fake, fal: Fal, result: Any, code: str, *, retryable: bool) -> None:
    fake.answers = [DONE, result]
    ended = await fal.poll(HANDLE)
    assert isinstance(ended, Failed)
    assert (ended.error.code, ended.error.retryable, ended.error.provider) == (code, retryable, "fal")


@pytest.mark.parametrize(
    ("type", "code", "retryable"),
    [
        ("runner_disconnected", "transient", True),
        ("client_cancelled", "provider_cancelled", False),
        ("bad_request", "provider_failed", False),
        (None, "provider_failed", False),
    ],
)
async def test_an_error_in_the_status_outweighs_a_good_result(
    fake: Fake, fal: Fal, type: str | None, code: str, *, retryable: bool
) -> None:
    fake.answers = [DONE | {"error": "It ended badly", "error_type": type}, {"images": ["https://h/1.png"]}]
    ended = await fal.poll(HANDLE)
    assert isinstance(ended, Failed)
    assert (ended.error.code, ended.error.retryable) == (code, retryable)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (web.Response(status=502, text="<html>nginx</html>"), TransientError),
        (refusal(503, "Service Unavailable"), TransientError),
        (refusal(429, "Slow down", **{"Error-Type": "too_many_requests"}), RateLimited),
        (refusal(401, "Who are you?"), PermanentError),
    ],
)
async def test_a_result_that_cannot_be_asked_for_is_no_failure_of_the_work(
    fake: Fake, fal: Fal, answer: Any, kind: type[AttemptError]
) -> None:
    fake.answers = [DONE, answer, DONE, {"images": ["https://h/1.png"]}]
    with pytest.raises(kind) as error:
        await fal.poll(HANDLE)
    assert type(error.value) is kind
    assert isinstance(await fal.poll(HANDLE), Finished)


@pytest.mark.parametrize(
    ("result", "outputs"),
    [
        ({"image": {"url": "https://h/1"}}, [Output("image", "https://h/1")]),
        ({"images": ["data:image/png;base64,iVBORw0="]}, [Output("image", "data:image/png;base64,iVBORw0=")]),
        ({"video": {"url": "https://h/1.mp4"}, "seed": 7}, [Output("video", "https://h/1.mp4")]),
        ({"audio": {"url": "https://h/1.mp3", "content_type": "audio/mpeg"}}, [Output("audio", "https://h/1.mp3")]),
        ({"audio_file": {"url": "https://h/1.wav"}}, [Output("audio", "https://h/1.wav")]),
        ({"image": {"url": "https://h/1", "content_type": "video/mp4"}}, [Output("video", "https://h/1")]),
        (
            {"images": [{"url": f"https://h/{at}"} for at in range(3)], "has_nsfw_concepts": [False, True, False]},
            [Output("image", "https://h/0"), Output("image", "https://h/2")],
        ),
    ],
)
async def test_files_are_found_where_models_put_them_and_flagged_ones_left_out(
    fake: Fake, fal: Fal, result: Any, outputs: list[Output]
) -> None:
    fake.answers = [DONE, result]
    ended = await fal.poll(HANDLE)
    assert isinstance(ended, Finished)
    assert [(each.kind, each.url) for each in ended.outputs] == [(each.kind, each.url) for each in outputs]
    assert ended.meta["metrics"] == DONE["metrics"]


@pytest.mark.parametrize(
    ("status", "word", "answer"),
    [
        (200, "OK", "cancelled"),
        (202, "CANCELLATION_REQUESTED", "cancelled"),
        (400, "ALREADY_COMPLETED", "too_late"),
        (404, "NOT_FOUND", "unknown"),
        (500, "", "unknown"),
    ],
)
async def test_cancel_knows_every_answer(fake: Fake, fal: Fal, status: int, word: str, answer: str) -> None:
    fake.answers = [web.json_response({"status": word}, status=status)]
    assert await fal.cancel(HANDLE) == answer
    assert fake.seen == [("PUT", "/fal-ai/flux/requests/r1/cancel")]


@pytest.mark.parametrize(
    ("detail", "code"),
    [("User is locked. Reason: Exhausted balance.", "provider_quota"), ("No access to this app", "provider_auth")],
)
async def test_a_locked_account_is_told_apart_from_a_wrong_key(
    fake: Fake, fal: Fal, desk: Desk, detail: str, code: str
) -> None:
    fake.answers = [refusal(403, detail)]
    with pytest.raises(PermanentError) as error:
        await fal.submit(intent(fal), desk)
    assert error.value.code == code


@pytest.mark.parametrize("answer", [{"token": "t\r\nX-Evil: 1", "token_type": "Bearer"}, [], refusal(500, "no")])
async def test_an_upload_that_fails_has_bought_nothing(
    fake: Fake, fal: Fal, desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setattr(fal_inputs, "INLINE_BYTES", 0)
    fake.answers = [answer]
    with pytest.raises(TransientError) as error:
        await fal.submit(intent(fal, ImageEdit(PICTURE, "in red"), EDIT), desk)
    assert not isinstance(error.value, SubmitUnknown)
    assert fake.seen == [("POST", "/rest/storage/auth/token?storage_type=fal-cdn-v3")]


ROUTES: dict[str, tuple[str, Request, Kind]] = {
    "edit": (EDIT, ImageEdit(PICTURE, "in red", size=(128, 128)), "image"),
    "references": (EDIT, ImageRequest("a cat", n=2, size=(128, 128), references=(PICTURE,)), "image"),
    "film": ("fal-ai/wan/text-to-video", VideoRequest("a cat", 1.0), "video"),
    "sound": ("cassetteai/sound-effects-generator", SoundRequest("rain", 1.0), "audio"),
}


on_the_sandbox = pytest.mark.parametrize("bench", ["fal images"], indirect=True)


async def kinds_made(bench: Bench, route: str) -> list[Kind]:
    model, request, _ = ROUTES[route]
    handle = await bench.driver.submit(intent(bench.driver, request, model), bench.desk)
    return [media_info(file).kind for file in await bench.files(await bench.ended(handle))]


@on_the_sandbox
@pytest.mark.parametrize("route", ROUTES)
async def test_what_the_conformance_suite_leaves_out_is_made_too(bench: Bench, route: str) -> None:
    _, request, kind = ROUTES[route]
    assert await kinds_made(bench, route) == [kind] * getattr(request, "n", 1)
    assert len(await bench.purchases()) == 1


@on_the_sandbox
async def test_a_file_too_large_for_the_request_is_uploaded_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fal_inputs, "INLINE_BYTES", 0)
    assert await kinds_made(bench, "edit") == ["image"]
