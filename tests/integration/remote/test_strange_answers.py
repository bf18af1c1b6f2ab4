"""What a client makes of answers that are not the API's: a clear error, nothing held in memory, no class by name."""

import gzip
from pathlib import Path

import pytest
from aiohttp import web

from jobrunner import JobRunner, Submission
from jobrunner.errors import ApiError, InvalidRequest, PermanentError, Unavailable
from jobrunner.remote import line
from tests.integration.remote.conftest import ACCEPTED, ID, Stranger, asking, picture, problem, said

STRANGE = {
    "a page": (web.Response(text="<html>Welcome to nginx!</html>", content_type="text/html"), "begins with '<html>"),
    "no object": (said(body=[1]), r"no JSON object; it begins with '\[1\]'"),
    "nothing": (web.Response(), "begins with nothing"),
    "half a job": (said(body={"id": str(ID), "status": "done"}), "does not read as Job: "),
    "too deep": (web.Response(body=b'{"a":' + b"[" * 4000), "no JSON object"),
    "too much": (web.Response(body=b" " * 5000), r"larger than 4,096 bytes"),
    "a bomb": (
        web.Response(body=gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"}),
        r"larger than 4,096 bytes",
    ),
    "a page of an error": (web.Response(status=404, text="<h1>Not\x1b[31m Found</h1>"), r"HTTP 404, and '<h1>Not\\x1b"),
    "an error without words": (said(500, {"code": 7}), "HTTP 500, and "),
    "another address": (web.Response(status=301, headers={"Location": "https://elsewhere/"}), "redirects elsewhere"),
}


@pytest.mark.parametrize("strange", STRANGE)
async def test_an_answer_that_is_none_of_ours_is_a_clear_error(
    stranger: Stranger, monkeypatch: pytest.MonkeyPatch, strange: str
) -> None:
    monkeypatch.setattr(line, "ANSWER_BYTES", 4096)
    answer, words = STRANGE[strange]
    stranger.answers = [answer]
    async with asking(stranger) as runner:
        with pytest.raises(ApiError, match=words) as raised:
            await runner.get(ID)
    assert raised.value.code == "answer_unreadable"
    assert "\x1b" not in str(raised.value)
    assert len(stranger.asked) == 1


async def test_a_proxys_page_instead_of_the_api_is_an_outage(stranger: Stranger) -> None:
    stranger.answers = [web.Response(status=502, text="<html>Bad Gateway</html>")]
    async with asking(stranger, patience_s=0) as runner:
        with pytest.raises(Unavailable, match="HTTP 502, and '<html>Bad Gateway"):
            await runner.get(ID)


@pytest.mark.parametrize("code", ["never_heard_of", "SoftTimeout", "jobrunner.errors.Retry", "SystemExit"])
async def test_an_unknown_code_makes_no_class_of_its_own(stranger: Stranger, code: str) -> None:
    stranger.answers = [said(418, problem(418, code, retryable=True))]
    async with asking(stranger) as runner:
        with pytest.raises(ApiError, match=f"It said {code}") as raised:
            await runner.get(ID)
    assert (raised.value.code, raised.value.http_status, raised.value.retryable) == (code, 418, True)


async def test_what_is_wrong_with_which_field_is_told(stranger: Stranger) -> None:
    errors = [{"path": "params.size", "message": "is too large", "type": "less_than"}]
    stranger.answers = [said(422, problem(422, "invalid_params", errors=errors))]
    async with asking(stranger) as runner:
        with pytest.raises(InvalidRequest) as raised:
            await runner.submit("any", {"size": 9})
    assert raised.value.errors == errors


async def test_a_batch_with_too_few_answers_is_not_believed(stranger: Stranger) -> None:
    stranger.answers = [said(body={"data": [{"status": 202, "job": ACCEPTED}]})]
    async with asking(stranger) as runner:
        with pytest.raises(ApiError, match="2 jobs were submitted, and 1 answers came"):
            await runner.submit_many([Submission("any", {}), Submission("any", {})])


@pytest.mark.parametrize(("length", "how"), [(90, "is longer"), (10, "is cut short")])
async def test_a_file_of_another_length_is_not_kept(
    there: JobRunner, stranger: Stranger, tmp_path: Path, length: int, how: str
) -> None:
    artifact = (await there.upload(picture())).model_copy(update={"size_bytes": 50})
    stranger.answers = [web.Response(body=b"x" * length)]
    into = tmp_path / "out"
    into.mkdir()
    async with asking(stranger) as runner:
        with pytest.raises(PermanentError, match=how):
            await runner.download(artifact, into / "got.png")
    assert not list(into.iterdir())
