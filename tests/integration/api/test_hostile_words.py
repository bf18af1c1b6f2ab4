"""Secrets and terminal codes, planted in the words of errors at every layer: they appear nowhere."""

import sys
from collections.abc import AsyncIterator
from io import StringIO
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from pydantic import SecretStr

from jobrunner.declare import TaskContext, task
from jobrunner.errors import InvalidRequest, PermanentError
from jobrunner.observe import observing
from jobrunner.runtime import Runtime, opened
from jobrunner.settings import Settings
from jobrunner.settings.tables import Mint, Provider, Webhooks
from jobrunner.store.postgres import Store
from tests.integration.api.conftest import Painted, Stroke, problem, submit, working

_HEX = "5eed" * 16
CANARIES = (
    "p%40ss-canary",
    "p@ss-canary",
    "api-key-canary",
    "hook-canary",
    "d2hzZWMtY2FuYXJ5LWNhbmFyeS1jYW5hcnk=",
    _HEX,
)
ANSI = "\x1b[2J\x1b]0;title\x07\u202e"
SPILT = f"{ANSI} postgresql://u:{CANARIES[0]}@h/d {' '.join(CANARIES)}\n2026-11-23T00:00:00Z [info] job.finished"


@task(module="image", retries=0)
async def spill(ctx: TaskContext, params: Stroke) -> Painted:
    """Tells all, as libraries do that put a URL into their errors."""
    try:
        raise ConnectionError(SPILT)  # noqa: TRY301  # in the words of a library
    except ConnectionError as error:
        if params.fails:
            raise PermanentError(SPILT, code="spilt") from error
        raise RuntimeError(SPILT) from error


class Screen(StringIO):
    """Where the log goes: a terminal, or a file that a machine reads."""

    def __init__(self, *, human: bool) -> None:
        super().__init__()
        self._human = human

    def isatty(self) -> bool:
        return self._human


@pytest.fixture(params=["terminal", "json"])
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen(human=request.param == "terminal")
    monkeypatch.setattr(sys, "stderr", made)
    return made


@pytest.fixture
async def runtime(settings: Settings, screen: Screen) -> AsyncIterator[Runtime]:
    """A runtime whose settings hold the canaries, and whose events are logged."""
    assert settings.database_url is not None
    planted = settings.model_copy(
        update={
            "database_url": SecretStr(f"{settings.database_url.get_secret_value()}&password={CANARIES[0]}"),
            "providers": {"openai": Provider(api_key=SecretStr(CANARIES[2]), webhook_secret=SecretStr(CANARIES[3]))},
            "webhooks": Webhooks(secret=SecretStr(f"whsec_{CANARIES[4]}")),
            "mint": Mint(chain_id=1, contract=f"0x{'11' * 20}", signing_key=SecretStr(f"0x{_HEX}")),
        }
    )
    with observing():
        async with opened(planted) as runtime:
            yield runtime


def refuse_canaries(text: str) -> None:
    assert [canary for canary in CANARIES if canary in text] == []


def refuse_tricks(log: str) -> None:
    refuse_canaries(log)
    assert "\x1b[2J" not in log
    assert "\u202e" not in log
    assert not any(line.startswith("2026-11-23T00:00:00Z") for line in log.splitlines())


async def test_what_a_task_spills_is_nowhere(runtime: Runtime, http: aiohttp.ClientSession, screen: Screen) -> None:
    async with working(runtime):
        for fails in (True, False):
            job_id = await submit(http, task="spill", params={"fails": fails})
            job = await runtime.client.wait(UUID(job_id), 20)
            assert job.status == "failed"
            refuse_canaries(str(job))
            async with http.get(f"/v1/jobs/{job_id}") as answer:
                refuse_canaries(await answer.text())
    log = screen.getvalue()
    assert "job." in log
    refuse_tricks(log)


async def test_what_a_handler_spills_is_nowhere(
    runtime: Runtime, http: aiohttp.ClientSession, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, status in (
        (RuntimeError(SPILT), 500),
        (InvalidRequest(SPILT, [{"path": SPILT, "message": SPILT}]), 422),
    ):

        async def broken(*_: Any, _error: Exception = error, **__: Any) -> Any:
            raise _error

        monkeypatch.setattr(Store, "get", broken)
        async with http.get("/v1/jobs/0198c5a4-5f4e-7cc3-8f5b-0d6f6a1f1f6e") as answer:
            text = await answer.text()
            await problem(answer, status, "internal_error" if status == 500 else "invalid_request")
        refuse_canaries(text)
    log = screen.getvalue()
    assert "api.error" in log
    refuse_tricks(log)
