"""Where providers may call: URLs that nobody can make up, and calls that only the provider can make."""

import base64
import hashlib
import hmac
import time
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from jobrunner.errors import ConfigError, TransientError
from jobrunner.net import Net
from jobrunner.net.signing import standard_headers
from jobrunner.providers import hooks as module
from jobrunner.providers.answers import Line
from jobrunner.providers.hooks import Hooks, remote_id
from jobrunner.settings import Settings
from jobrunner.settings.tables import Http, Provider
from tests.receiver import SECRET, SIGNED

JOB = UUID("0198c5a4-5f4e-7cc3-8f5b-0d6f6a1f1f6e")
PUBLIC = "https://jobs.example.com/base/"
OTHERS = "whsec_" + "B" * 32
RAW = b'{"id": "p1"}'


def hooks(public_url: str | None = PUBLIC, **secrets: str) -> Hooks:
    providers = {name: Provider(webhook_secret=SecretStr(secret)) for name, secret in secrets.items()}
    return Hooks(Net(), Settings(http=Http(public_url=public_url), webhooks=SIGNED, providers=providers))


def token_of(made: Hooks, provider: str, job_id: UUID = JOB) -> str:
    url = made.url(provider, job_id)
    assert url is not None
    at, _, token = url.rpartition("/")
    assert at == f"https://jobs.example.com/base/v1/hooks/{provider}"
    return token


def test_a_url_leads_back_to_its_job_from_any_process() -> None:
    for provider in ("replicate", "fal", "luma"):
        assert hooks().job_of(provider, token_of(hooks(), provider)) == JOB


def test_no_other_token_leads_anywhere() -> None:
    made = hooks()
    token = token_of(made, "luma")
    other_secret = SIGNED.model_copy(update={"secret": SecretStr(OTHERS)})
    strange = Hooks(Net(), Settings(http=Http(public_url=PUBLIC), webhooks=other_secret))
    for forged in (
        *("", "project", JOB.hex, token[:-1], token + "0", token[:-1] + "ü", token.replace("0198", "0199", 1)),
        token_of(made, "fal"),
        token_of(strange, "luma"),
    ):
        assert made.job_of("luma", forged) is None, forged


def test_who_takes_no_url_and_who_cannot_be_told_from_strangers_is_given_none() -> None:
    made = hooks(openai=OTHERS)
    assert {name for name in ("openai", "runway", "elevenlabs", "sync", "nobody") if made.url(name, JOB)} == set()
    assert {name for name in ("openai", "sync", "luma", "runway") if made.calls(name)} == {"openai", "luma"}
    assert hooks(sync="plain").url("sync", JOB)


def test_without_a_public_url_nobody_calls() -> None:
    made = hooks(None, replicate=OTHERS)
    assert made.url("replicate", JOB) is None
    assert not made.calls("luma")


def test_a_broken_secret_stops_the_start() -> None:
    with pytest.raises(ConfigError, match=r"providers\.openai\.webhook_secret"):
        hooks(openai="whsec_***")


@pytest.mark.parametrize("provider", ["openai", "replicate"])
async def test_a_call_is_the_providers_own_or_refused(provider: str) -> None:
    made = hooks(**{provider: OTHERS})
    now = int(time.time())
    assert await made.verify(provider, standard_headers(OTHERS, "m1", now, RAW), RAW)
    for headers in ({}, standard_headers(SECRET, "m1", now, RAW), standard_headers(OTHERS, "m1", now - 600, RAW)):
        assert not await made.verify(provider, headers, RAW)
    assert not await made.verify("runway", standard_headers(OTHERS, "m1", now, RAW), RAW)


async def test_a_secret_that_the_provider_changed_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answers: list[Any] = [TransientError("down"), {"key": SECRET}, {"key": OTHERS}]

    async def ask(line: Line, method: str, path: str) -> Any:
        asked.append(f"{line.provider} {method} {path}")
        if isinstance(answer := answers.pop(0), Exception):
            raise answer
        return answer

    monkeypatch.setattr(Line, "ask", ask)
    made, now = hooks(), int(time.time())

    async def verified(secret: str) -> bool:
        return await made.verify("replicate", standard_headers(secret, "m1", now, RAW), RAW)

    assert not await verified(SECRET)
    assert not await verified(SECRET)
    assert asked == ["replicate GET v1/webhooks/default/secret"]  # however often strangers knock
    monkeypatch.setattr(module, "_AGAIN_S", 0.0)
    assert await verified(SECRET)
    monkeypatch.undo()
    monkeypatch.setattr(Line, "ask", ask)
    assert await verified(SECRET)
    assert not await verified(OTHERS)
    assert len(asked) == 2
    monkeypatch.setattr(module, "_AGAIN_S", 0.0)
    assert await verified(OTHERS)


@pytest.mark.parametrize("key", ["", "whsec_", "whsec_*", None, 7])
async def test_an_answer_without_a_secret_lets_nothing_pass(key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(*_: str) -> Any:
        return {"key": key}

    monkeypatch.setattr(Line, "ask", ask)
    now = str(int(time.time()))
    signature = base64.b64encode(hmac.new(b"", f"m1.{now}.".encode() + RAW, hashlib.sha256).digest()).decode()
    headers = {"webhook-id": "m1", "webhook-timestamp": now, "webhook-signature": f"v1,{signature}"}
    assert not await hooks().verify("replicate", headers, RAW)


@pytest.mark.parametrize(
    ("raw", "id"),
    [
        (b'{"type": "response.completed", "data": {"id": "resp_1"}}', "resp_1"),
        *((raw, None) for raw in (b"", b"[]", b"{}", b'{"data": 1}', b"\xff")),
    ],
)
def test_what_a_projects_call_is_about(raw: bytes, id: str | None) -> None:
    assert remote_id(raw) == id
