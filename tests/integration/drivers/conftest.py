"""One driver at work on one sandbox: what the conformance suite runs every driver on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from jobrunner.errors import SubmitUnknown
from jobrunner.net import Net
from jobrunner.providers.driver import Capabilities, Desk, Driver, Failed, Finished, Running
from jobrunner.providers.elevenlabs import ElevenLabs
from jobrunner.providers.fal import Fal
from jobrunner.providers.luma import Luma
from jobrunner.providers.openai import OpenAI
from jobrunner.providers.pinata import Pinata
from jobrunner.providers.replicate import Replicate
from jobrunner.providers.runway import Runway
from jobrunner.providers.sync import Sync
from jobrunner.request import (
    ImageEdit,
    ImageRequest,
    LipsyncRequest,
    MintRequest,
    MusicRequest,
    PinRequest,
    Request,
    SoundRequest,
    SpeechRequest,
    TextRequest,
    VideoRequest,
)
from jobrunner.sandbox.app import running
from jobrunner.settings.tables import Provider
from jobrunner.work import Artifact, Handle, Intent, Kind
from tests.integration.drivers.inputs import CLIP, PICTURE, content
from tests.integration.drivers.inputs import sound as a_sound
from tests.integration.drivers.notebook import minter

SPEED = 40.0


def image(prompt: str, seed: int | None = None) -> Request:
    return ImageRequest(prompt, seed=seed, size=(256, 256))


def edit(prompt: str, seed: int | None = None) -> Request:
    return ImageEdit(PICTURE, f"{prompt} {seed}", mask=PICTURE, size=(256, 256))


def whole_edit(prompt: str, seed: int | None = None) -> Request:
    return ImageEdit(PICTURE, f"{prompt} {seed}", size=(256, 256))


def text(prompt: str, seed: int | None = None) -> Request:
    return TextRequest("Say what you see.", f"{prompt} {seed}", schema=SCHEMA)


def speech(prompt: str, seed: int | None = None) -> Request:
    return SpeechRequest(f"{prompt} {seed}", "alloy")


def music(prompt: str, seed: int | None = None) -> Request:
    return MusicRequest(f"{prompt} {seed}", 3.0)


def sound(prompt: str, seed: int | None = None) -> Request:
    return SoundRequest(f"{prompt} {seed}", 0.5)


def video(prompt: str, seed: int | None = None) -> Request:
    return VideoRequest(prompt, 2.0, seed=seed)


def video_without_seed(prompt: str, seed: int | None = None) -> Request:
    return VideoRequest(f"{prompt} {seed}", 5.0, (960, 540))


def animation(prompt: str, seed: int | None = None) -> Request:
    return VideoRequest(prompt, 2.0, (640, 480), image=PICTURE, seed=seed)


def lipsync(prompt: str, seed: int | None = None) -> Request:
    return LipsyncRequest(CLIP, a_sound(f"{prompt} {seed}"))


def pin(prompt: str, seed: int | None = None) -> Request:
    return PinRequest(prompt, {"prompt": prompt, "seed": seed})


def mint(prompt: str, seed: int | None = None) -> Request:
    return MintRequest(f"0x{1:040x}", prompt, uuid5(NAMESPACE_OID, f"{prompt} {seed}"))


SCHEMA = {"type": "object", "properties": {"title": {"type": "string"}, "notes": {"type": "string"}}}


@dataclass(frozen=True)
class Subject:
    """A driver's class, a model of it, where the sandbox speaks its protocol, and what is ordered.

    `wait_in_words_s`: what a 429 without a Retry-After header says in its text, where the provider does.
    `priced`: its answer tells what it cost. `missing`: the id of a piece of work that was never made.
    `told`: where an answer has neither files nor words, what of its meta says that it is made. `foreknown`: the handle
    is known, and committed by the driver, before anything is sent; so no lost answer loses it. `key`: the variable
    that holds the key, if it is not the provider's `api_key`.
    """

    make: Callable[[Net, Provider], Driver]
    model: str
    path: str
    request: Callable[..., Request] = image
    kind: Kind | None = "image"
    wait_in_words_s: float | None = None
    priced: bool = True
    missing: str = "no-such-id"
    told: str | None = None
    foreknown: bool = False
    key: str | None = None


SUBJECTS = {
    "fal images": Subject(Fal, "fal-ai/flux/schnell", "/fal", priced=False, missing="fal-ai/flux/requests/none"),
    "fal animations": Subject(
        Fal, "fal-ai/wan/image-to-video", "/fal", animation, "video", priced=False, missing="fal-ai/wan/requests/none"
    ),
    "fal speech": Subject(
        Fal, "fal-ai/elevenlabs/tts/v3", "/fal", speech, "audio", priced=False, missing="fal-ai/elevenlabs/requests/x"
    ),
    "fal music": Subject(Fal, "fal-ai/ace-step", "/fal", music, "audio", priced=False, missing="fal-ai/x/requests/y"),
    "fal edits": Subject(
        Fal, "fal-ai/nano-banana/edit", "/fal", whole_edit, priced=False, missing="fal-ai/nano-banana/requests/none"
    ),
    "fal sound": Subject(
        Fal,
        "cassetteai/sound-effects-generator",
        "/fal",
        sound,
        "audio",
        priced=False,
        missing="cassetteai/x/requests/y",
    ),
    "fal lipsync": Subject(
        Fal, "fal-ai/sync-lipsync/v2", "/fal", lipsync, "video", priced=False, missing="fal-ai/x/requests/y"
    ),
    "openai images": Subject(OpenAI, "gpt-image-2", "/openai/v1"),
    "openai edits": Subject(OpenAI, "gpt-image-2", "/openai/v1", edit),
    "openai speech": Subject(OpenAI, "gpt-4o-mini-tts", "/openai/v1", speech, "audio", priced=False),
    "openai responses": Subject(OpenAI, "gpt-5.4-mini", "/openai/v1", text, None, missing="resp_none"),
    "openai videos": Subject(
        OpenAI, "sora-2", "/openai/v1", video_without_seed, "video", priced=False, missing="videos/none"
    ),
    "openai chat": Subject(OpenAI, "chat/gpt-5.4-mini", "/openai/v1", text, None),
    "replicate": Subject(Replicate, "black-forest-labs/flux-schnell", "/replicate", wait_in_words_s=1.0),
    "replicate video": Subject(
        Replicate, "bytedance/seedance-2.0-fast", "/replicate", animation, "video", wait_in_words_s=1.0
    ),
    "replicate edits": Subject(
        Replicate, "black-forest-labs/flux-kontext-pro", "/replicate", whole_edit, wait_in_words_s=1.0
    ),
    "replicate speech": Subject(
        Replicate, "minimax/speech-02-turbo", "/replicate", speech, "audio", wait_in_words_s=1.0
    ),
    "replicate music": Subject(
        Replicate, "stability-ai/stable-audio-2.5", "/replicate", music, "audio", wait_in_words_s=1.0
    ),
    "runway": Subject(Runway, "gen4.5", "/runway", video, "video"),
    "runway animation": Subject(Runway, "gen4_turbo", "/runway", animation, "video"),
    "elevenlabs speech": Subject(ElevenLabs, "eleven_flash_v2_5", "/elevenlabs", speech, "audio"),
    "elevenlabs music": Subject(ElevenLabs, "music_v1", "/elevenlabs", music, "audio"),
    "elevenlabs sound": Subject(ElevenLabs, "eleven_text_to_sound_v2", "/elevenlabs", sound, "audio"),
    "luma": Subject(Luma, "ray-flash-2", "/luma/dream-machine/v1", video_without_seed, "video", priced=False),
    "sync": Subject(Sync, "lipsync-2", "/sync", lipsync, "video", priced=False),
    "pinata": Subject(Pinata, "public", "/pinata/v3", pin, None, priced=False, told="cid"),
    "ethereum": Subject(
        minter, "collection", "/eth", mint, None, told="token_id", foreknown=True, key="JOBRUNNER_MINT__SIGNING_KEY"
    ),
}
"""Every driver, once a route that it speaks differently. `kind` None: it answers words, not files."""


class Bench:
    """One driver at work on one sandbox."""

    def __init__(self, subject: Subject, base_url: str, spool: Path) -> None:
        self.subject = subject
        self.base_url = base_url
        self.spool = spool
        self.inputs = spool.with_name("inputs")
        self.inputs.mkdir()
        self.desk = Desk(spool, self.input)
        self.net = Net([base_url.removeprefix("http://")])
        self.admin = aiohttp.ClientSession(base_url)
        self.drivers: list[Driver] = []
        self.driver = self.another()

    def another(self, **settings: Any) -> Driver:
        """A fresh driver, as another process would have it."""
        at = {"base_url": self.base_url + self.subject.path, "api_key": SecretStr("test-key")}
        self.drivers.append(self.subject.make(self.net, Provider.model_validate(at | settings)))
        return self.drivers[-1]

    @property
    def can(self) -> Capabilities:
        """What the driver declares for what is ordered here."""
        return self.driver.capabilities.of(self.intent("a cat").plan)

    def intent(self, prompt: str, seed: int | None = None) -> Intent:
        return Intent(
            f"job:{prompt}:{seed}", self.driver.prepare(self.subject.model, self.subject.request(prompt, seed))
        )

    def input(self, artifact: Artifact) -> Path:
        path = self.inputs / artifact.key
        if not path.exists():
            path.write_bytes(content(artifact))
        return path

    async def submit(self, prompt: str, seed: int | None = None) -> Handle | Finished:
        return await self.driver.submit(self.intent(prompt, seed), self.desk)

    @property
    def first(self) -> str:
        """Which exchange a fault must befall for a submit to fail before anything is sent."""
        return "poll" if self.subject.foreknown else "create"

    async def lose(self, prompt: str, seed: int | None = None, driver: Driver | None = None) -> None:
        """Submit where the answer will be lost: unknown, but for a driver that knows the handle beforehand."""
        submitting = (driver or self.driver).submit(self.intent(prompt, seed), self.desk)
        if self.subject.foreknown:
            assert isinstance(await submitting, Handle)
        else:
            with pytest.raises(SubmitUnknown, match="may run and be billed"):
                await submitting

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
        if self.subject.told:
            return bool(finished.meta[self.subject.told])
        return bool(finished.outputs) if self.subject.kind else bool(finished.text)

    async def fail(self, on: str, word: str, **rule: Any) -> None:
        body = {"provider": self.subject.path.split("/")[1], "on": on, "fail": word, "count": 1} | rule
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


@asynccontextmanager
async def at_loopback(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """The URL below which `handle` answers every request."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Fake:
    """A provider that answers `answers` one after the other, JSON or ready responses; `seen` is what it was asked."""

    answers: list[Any] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""
    authorization: str = "Bearer canary"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.raw_path))
        assert request.headers.get("Authorization", "") == self.authorization
        answer = self.answers.pop(0)
        return answer if isinstance(answer, web.StreamResponse) else web.json_response(answer)


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    made = Fake()
    async with at_loopback(made.handle) as made.url:
        yield made


async def orphans(driver: Driver, intent: Intent, since: float) -> list[Handle]:
    """What the provider lists as made of this intent's plan since then (unix seconds)."""
    return [each.handle for each in await driver.listed(since) if each.made_from(intent.plan)]
