"""A server with API keys, and sessions that use them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import SecretStr

from jobrunner.api import serving
from jobrunner.api.guard.keys import hash_of, new_key
from jobrunner.runtime import Runtime, opened
from jobrunner.settings import Settings
from jobrunner.settings.tables import Key

URL_SECRET = SecretStr("a-secret-of-at-least-thirty-two-characters")
PNG = bytes.fromhex(  # one pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)


@dataclass(frozen=True)
class Keyring:
    runtime: Runtime
    url: str
    keys: Mapping[str, str]

    def session(self, name: str | None = None) -> aiohttp.ClientSession:
        """One that sends the key of this name; without a name, none."""
        return aiohttp.ClientSession(self.url, headers={} if name is None else bearer(self.keys[name]))


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@asynccontextmanager
async def keyed(
    settings: Settings, http: Mapping[str, Any] | None = None, **rows: Mapping[str, Any]
) -> AsyncIterator[Keyring]:
    """A server with a key for each of `rows`, which say what differs from one that may submit and read."""
    keys = {name: new_key() for name in rows}
    tables = {name: Key(**{"hash": hash_of(keys[name]), "scopes": ("submit", "read"), **rows[name]}) for name in rows}
    changed = settings.http.model_copy(update={"url_secret": URL_SECRET, **(http or {})})
    async with (
        opened(settings.model_copy(update={"keys": tables, "http": changed})) as runtime,
        serving(runtime) as url,
    ):
        yield Keyring(runtime, url, keys)


async def upload(http: aiohttp.ClientSession) -> str:
    """The path of a picture."""
    async with http.post("/v1/artifacts", data=PNG) as answer:
        assert answer.status == 201, await answer.text()
        return str((await answer.json())["url"])
