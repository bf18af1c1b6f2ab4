"""Server-Sent Events as a client reads them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

SOON_S = 15.0
"""No promise: only how long a test waits for what should have come long before."""


@dataclass
class Told:
    """One event, and the id that its reader comes back with."""

    id: str
    name: str
    data: dict[str, Any]

    @property
    def brief(self) -> tuple[Any, ...]:
        match self.name:
            case "progress":
                return self.data["progress"], self.data["progress_note"]
            case "step":
                return self.data["step"]["name"], self.data["step"]["state"]
            case "preview":
                return "preview", self.data["preview"]["width"], self.data["preview"]["height"]
            case "log":
                return self.data["level"], self.data["message"]
            case "reset":
                return ("reset",)
        return self.name, self.data["status"], self.data["attempt"]


class Stream:
    """What a client reads of an answer, event by event."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.last_id = ""

    async def begun(self) -> str:
        """The id that the stream begins with, before its first event."""
        async with asyncio.timeout(SOON_S):
            while not (await self._block()).get("id"):
                pass
        return self.last_id

    async def next(self) -> Told | None:
        """None once the server has ended the stream."""
        async with asyncio.timeout(SOON_S):
            while fields := await self._block():
                if "data" in fields:
                    return Told(self.last_id, fields["event"], json.loads(fields["data"]))
        return None

    async def _block(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        while line := (await self._answer.content.readline()).decode():
            if line != "\n":
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value
            elif fields:
                self.last_id = fields.get("id", self.last_id)
                return fields
        return {}

    async def until(self, brief: tuple[Any, ...]) -> Told:
        while (told := await self.next()) is not None:
            if told.brief == brief:
                return told
        raise AssertionError(f"the stream ended before {brief}")

    async def rest(self) -> list[Told]:
        found = []
        while (told := await self.next()) is not None:
            found.append(told)
        return found


@asynccontextmanager
async def reading(http: aiohttp.ClientSession, path: str, last_id: str | None = None) -> AsyncIterator[Stream]:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with http.get(path, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-store", "no")
        yield Stream(answer)


@asynccontextmanager
async def following(http: aiohttp.ClientSession, job_id: str, last_id: str | None = None) -> AsyncIterator[Stream]:
    async with reading(http, f"/v1/jobs/{job_id}/events", last_id) as stream:
        yield stream
