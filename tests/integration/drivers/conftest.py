"""One driver at work on one sandbox: what the conformance suite runs every driver on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from jobrunner.net import Net
from jobrunner.providers.driver import Desk, Driver, Failed, Finished, Running
from jobrunner.providers.openai import OpenAI
from jobrunner.providers.replicate import Replicate
from jobrunner.sandbox.app import running
from jobrunner.settings import Provider
from jobrunner.work import Handle, ImageRequest, Intent, Kind, Request

SPEED = 40.0


def image(prompt: str, seed: int | None = None) -> Request:
    return ImageRequest(prompt, seed=seed, size=(256, 256))


@dataclass(frozen=True)
class Subject:
    """A driver's class, a model of it, where the sandbox speaks its protocol, and what is ordered.

    `wait_in_words_s`: what a 429 without a Retry-After header says in its text, where the provider does.
    `priced`: its answer tells what it cost.
    """

    make: Callable[[Net, Provider], Driver]
    model: str
    path: str
    request: Callable[..., Request] = image
    kind: Kind | None = "image"
    wait_in_words_s: float | None = None
    priced: bool = True


SUBJECTS = {
    "openai images": Subject(OpenAI, "gpt-image-2", "/openai/v1"),
    "replicate": Subject(Replicate, "black-forest-labs/flux-schnell", "/replicate", wait_in_words_s=1.0),
}
"""Every driver, once a route that it speaks differently. `kind` None: it answers words, not files."""


class Bench:
    """One driver at work on one sandbox."""

    def __init__(self, subject: Subject, base_url: str, spool: Path) -> None:
        self.subject = subject
        self.base_url = base_url
        self.spool = spool
        self.desk = Desk(spool, lambda artifact: spool / artifact.key)
        self.net = Net([base_url.removeprefix("http://")])
        self.admin = aiohttp.ClientSession(base_url)
        self.drivers: list[Driver] = []
        self.driver = self.another()

    def another(self, **settings: Any) -> Driver:
        """A fresh driver, as another process would have it."""
        at = {"base_url": self.base_url + self.subject.path, "api_key": SecretStr("test-key")}
        self.drivers.append(self.subject.make(self.net, Provider.model_validate(at | settings)))
        return self.drivers[-1]

    def intent(self, prompt: str, seed: int | None = None) -> Intent:
        return Intent("key", self.driver.prepare(self.subject.model, self.subject.request(prompt, seed)))

    async def submit(self, prompt: str, seed: int | None = None) -> Handle | Finished:
        return await self.driver.submit(self.intent(prompt, seed), self.desk)

    async def ended(self, answer: Handle | Finished, driver: Driver | None = None) -> Finished:
        """Poll to the end; a failure is raised, so that both kinds of driver fail alike."""
        while isinstance(answer, Handle):
            match await (driver or self.driver).poll(answer):
                case Finished() as answer:
                    break
                case Failed(error):
                    raise error
                case Running():
                    await asyncio.sleep(0.005)
        return answer

    async def run(self, prompt: str, seed: int | None = None) -> Finished:
        return await self.ended(await self.submit(prompt, seed))

    async def files(self, finished: Finished) -> list[Path]:
        return [await self.driver.fetch(output, self.spool) for output in finished.outputs]

    def made(self, finished: Finished) -> bool:
        """Something of the kind that was ordered is there."""
        return bool(finished.outputs) if self.subject.kind else bool(finished.text)

    async def fail(self, on: str, word: str, **rule: Any) -> None:
        body = {"provider": self.driver.name, "on": on, "fail": word, "count": 1} | rule
        async with self.admin.post("/admin/faults", json=body) as answer:
            assert answer.status == 201

    async def purchases(self) -> list[dict[str, Any]]:
        async with self.admin.get("/admin/purchases") as answer:
            return list(await answer.json())

    async def aclose(self) -> None:
        for driver in self.drivers:
            await driver.aclose()
        await self.net.aclose()
        await self.admin.close()


@pytest.fixture(params=SUBJECTS)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with running(tmp_path / "sandbox", speed=SPEED) as sandbox:
        (tmp_path / "spool").mkdir()
        made = Bench(SUBJECTS[request.param], sandbox.base_url, tmp_path / "spool")
        yield made
        await made.aclose()
