"""Webhook endpoints: a project registers them once, and each hears of the work that is created after it.

Not spoken: changing one, rotating its secret, event types but those of responses and videos.
"""

import secrets
import sqlite3
import time
from dataclasses import astuple, dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from jobrunner.sandbox.openai import protocol
from jobrunner.sandbox.openai.protocol import NAME, ApiError, invalid
from jobrunner.sandbox.signatures import new_secret
from jobrunner.sandbox.state import State
from jobrunner.sandbox.webhooks import NotHere, loopback

EVENTS: Final = (
    "response.completed", "response.failed", "response.cancelled", "response.incomplete", "video.completed",
    "video.failed",
)  # fmt: skip
KNOWN: Final = frozenset({"name", "url", "event_types"})
MAX_NAME_CHARS: Final = 256
MAX_URL_CHARS: Final = 2048
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS endpoints (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, url TEXT NOT NULL, event_types TEXT NOT NULL, secret TEXT NOT NULL,
    created_at REAL NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`event_types` is a JSON list; `created_at` unix seconds."""

    id: str
    name: str
    url: str
    event_types: str
    secret: str
    created_at: float

    @property
    def events(self) -> list[str]:
        return list(orjson.loads(self.event_types))

    def shown(self) -> dict[str, Any]:
        at = int(self.created_at)
        told = {"id": self.id, "object": "webhook_endpoint", "name": self.name, "url": self.url}
        hint = f"{self.secret[:8]}...{self.secret[-4:]}"
        return told | {
            "event_types": self.events, "created_at": at, "updated_at": at, "signing_secret_hint": hint,
        }  # fmt: skip


class Endpoints:
    def __init__(self, state: State) -> None:
        self._state = state
        state.db.execute(SCHEMA)

    async def create(self, request: web.Request) -> web.Response:
        body = await protocol.read_json(request, KNOWN)
        name, events = protocol.check_text("name", body.get("name"), MAX_NAME_CHARS), body.get("event_types")
        if not isinstance(events, list) or not events or not set(events) <= set(EVENTS):
            raise invalid("event_types", f"Expected some of {', '.join(EVENTS)}.")
        try:
            url = loopback(protocol.check_text("url", body.get("url"), MAX_URL_CHARS))
        except NotHere as error:
            raise invalid("url", str(error)) from None
        kept = orjson.dumps(events).decode()
        made = Endpoint(f"we_{secrets.token_hex(12)}", name, str(url), kept, new_secret(), time.time())
        self._state.db.execute("INSERT INTO endpoints VALUES (?, ?, ?, ?, ?, ?)", astuple(made))
        return protocol.answered(made.shown() | {"signing_secret": made.secret})

    async def list(self, _request: web.Request) -> web.Response:
        """All of them in one page, oldest first."""
        data = [each.shown() for each in _all(self._state.db)]
        return protocol.answered({"object": "list", "data": data, "has_more": False})

    async def get(self, request: web.Request) -> web.Response:
        return protocol.answered(self._found(request).shown())

    async def delete(self, request: web.Request) -> web.Response:
        found = self._found(request)
        self._state.db.execute("DELETE FROM endpoints WHERE id = ?", (found.id,))
        return protocol.answered({"id": found.id, "object": "webhook_endpoint.deleted", "deleted": True})

    def schedule(self, request: web.Request, work: str, kind: str, at: float) -> None:
        """Whatever `kind` (response, video) of event an endpoint wants, `work` may tell it at `at` (unix seconds)."""
        for each in _all(self._state.db):
            due = [(event, at) for event in each.events if event.startswith(f"{kind}.")]
            origin = str(request.url.origin())
            self._state.webhooks.schedule(NAME, work, due, url=each.url, origin=origin, secret=each.secret)

    def _found(self, request: web.Request) -> Endpoint:
        id = request.match_info["id"]
        for each in _all(self._state.db):
            if each.id == id:
                return each
        raise ApiError(404, f"Webhook endpoint with id '{id}' not found.")


def _all(db: sqlite3.Connection) -> list[Endpoint]:
    return [Endpoint(*row) for row in db.execute("SELECT * FROM endpoints ORDER BY rowid")]
