"""What is peculiar to Pinata: a file's address is its content's, so the same thing pinned again is the same pin."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from pydantic import SecretStr

from jobrunner.errors import PermanentError, SubmitUnknown
from jobrunner.net import Net
from jobrunner.providers.driver import Desk
from jobrunner.providers.pinata import Pinata
from jobrunner.request import ImageRequest, PinRequest
from jobrunner.sandbox.app import running
from jobrunner.settings.tables import Provider
from jobrunner.work import Artifact, Intent
from tests.integration.drivers.conftest import Fake

LARGE = 5_000_000


@dataclass
class Pinner:
    url: str
    driver: Pinata
    directory: Path

    def file(self, content: bytes) -> Artifact:
        (self.directory / "clip.mp4").write_bytes(content)
        return Artifact(UUID(int=9), None, "video", "video/mp4", len(content), "00", "clip.mp4")

    async def pin(self, content: Artifact | Mapping[str, Any], name: str = "a thing") -> Mapping[str, Any]:
        plan = self.driver.prepare("public", PinRequest(name, content))
        desk = Desk(self.directory, lambda artifact: self.directory / artifact.key)
        return (await self.driver.submit(Intent("any", plan), desk)).meta


@pytest.fixture
async def pinner(tmp_path: Path) -> AsyncIterator[Pinner]:
    async with running(tmp_path / "sandbox") as sandbox:
        net = Net()
        provider = Provider(base_url=f"{sandbox.base_url}/pinata/v3", api_key=SecretStr("test-key"))
        pinner = Pinner(sandbox.base_url, Pinata(net, provider), tmp_path)
        yield pinner
        await pinner.driver.aclose()
        await net.aclose()


async def test_a_file_is_pinned_whole_and_as_what_it_is(pinner: Pinner) -> None:
    content = bytes(range(250)) * (LARGE // 250)
    meta = await pinner.pin(pinner.file(content))
    assert (meta["size"], meta["mime_type"], meta["uri"]) == (LARGE, "video/mp4", f"ipfs://{meta['cid']}")
    async with aiohttp.ClientSession() as http, http.get(f"{pinner.url}/pinata/ipfs/{meta['cid']}") as answer:
        assert await answer.read() == content


async def test_the_same_json_has_the_same_address_however_its_keys_stand(pinner: Pinner) -> None:
    first = await pinner.pin({"name": "a kite", "image": "ipfs://x"}, "first")
    again = await pinner.pin({"image": "ipfs://x", "name": "a kite"}, "second")
    other = await pinner.pin({"image": "ipfs://y", "name": "a kite"})
    assert (first["cid"], again["is_duplicate"]) == (again["cid"], True)
    assert other["cid"] != first["cid"]
    assert first["mime_type"] == "application/json"


def test_only_public_files_and_json_are_pinned() -> None:
    driver = Pinata(Net(), Provider())
    with pytest.raises(PermanentError, match="'private' is none; there is 'public'"):
        driver.prepare("private", PinRequest("a", {}))
    with pytest.raises(PermanentError, match="not image made"):
        driver.prepare("public", ImageRequest("a cat"))


@pytest.mark.parametrize("cid", ["", "../../etc/passwd", None])
async def test_an_answer_without_a_plain_address_is_no_pin(cid: str | None, fake: Fake, tmp_path: Path) -> None:
    net = Net()
    driver = Pinata(net, Provider(base_url=fake.url, api_key=SecretStr("canary")))
    fake.answers = [{"data": {"cid": cid}}]
    with pytest.raises(SubmitUnknown, match="without an address"):
        await Pinner(fake.url, driver, tmp_path).pin({})
    await driver.aclose()
    await net.aclose()
