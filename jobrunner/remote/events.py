"""GET /v1/events, read as Server-Sent Events (HTML, section 9.2) and taken up again where it broke off."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, get_args

import aiohttp
from pydantic import ValidationError

from jobrunner.remote.line import Ask, Line
from jobrunner.remote.problems import read_object, unreadable
from jobrunner.shown import Event, EventKind

_KINDS: Final = frozenset({*get_args(EventKind), "reset"})


@dataclass(slots=True)
class _Stream:
    """`last_id`: where the next answer goes on."""

    query: Mapping[str, str]
    last_id: str | None = None

    def ask(self) -> Ask:
        headers = {"Accept": "text/event-stream"}
        if self.last_id is not None:
            headers["Last-Event-ID"] = self.last_id
        return Ask("GET", "v1/events", query=self.query, headers=headers, longer_s=None, safe=True)

    async def read(self, answer: aiohttp.ClientResponse) -> AsyncIterator[Event | None]:
        """None for a sign of life. What this client does not know is left out; a newer server may tell more."""
        fields: dict[str, str] = {}
        async for line in _lines(answer):
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            self.last_id = fields.get("id", self.last_id)
            yield _event(fields, answer.status) if fields.get("event") in _KINDS else None
            fields = {}


async def events(line: Line, query: Mapping[str, str]) -> AsyncIterator[Event]:
    stream = _Stream(query)
    async for event in line.follow(stream.ask, stream.read):
        if event is not None:
            yield event


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[str]:
    try:
        async for raw in answer.content:
            yield raw.decode().rstrip("\r\n")
    except ValueError:  # not UTF-8, or a line that does not end
        raise unreadable("The stream holds what is no event.", answer.status) from None


def _event(fields: Mapping[str, str], status: int) -> Event:
    data = read_object(fields.get("data", "").encode(), status)
    try:
        return Event.model_validate({"kind": fields["event"], "data": data})
    except ValidationError:
        raise unreadable("The stream holds what is no event.", status) from None
