"""Webhooks as the providers send them: when work reaches a state in the sandbox's time, and again if nobody takes them.

A call is a row, written together with the work that it tells of, so it survives kills; the service sleeps until the
next one is due. What it says is asked of its provider only then, and kept: every try sends the same bytes, under the
same id. Tries repeat, and calls overtake each other, as real ones do. No call leaves this machine.
"""

import asyncio
import contextlib
import ipaddress
import secrets
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from jobrunner.sandbox.signatures import Letter, Sign, new_secret

AT_ONCE: Final = 32
ANSWER_S: Final = 15.0
RETRY_S: Final = (1.0, 5.0, 25.0, 125.0)
"""How long to wait after each try that failed; each is divided by the sandbox's speed."""
_LONGEST_SLEEP_S: Final = 3600.0
SCHEMAS: Final = (
    """
    CREATE TABLE IF NOT EXISTS calls (
        id TEXT PRIMARY KEY, provider TEXT NOT NULL, work TEXT NOT NULL, event TEXT NOT NULL, url TEXT NOT NULL,
        origin TEXT NOT NULL, secret TEXT NOT NULL, due_at REAL NOT NULL, body BLOB, tries INTEGER NOT NULL,
        said TEXT NOT NULL, outcome TEXT
    )
    """,
    "CREATE INDEX IF NOT EXISTS calls_due ON calls (due_at) WHERE outcome IS NULL",
    "CREATE INDEX IF NOT EXISTS calls_work ON calls (work) WHERE outcome IS NULL",
    "CREATE TABLE IF NOT EXISTS secrets (provider TEXT PRIMARY KEY, secret TEXT NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class Call:
    """`event` of `work` is to be told to `url` at `due_at` (unix seconds); the files it names are below `origin`.

    `said`: what came of the last try. `outcome`: delivered, dropped (it did not come to pass) or given up.
    """

    id: str
    provider: str
    work: str
    event: str
    url: str
    origin: str
    secret: str
    due_at: float
    body: bytes | None = None
    tries: int = 0
    said: str = ""
    outcome: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Without the secret."""
        shown = ("id", "provider", "work", "event", "url", "due_at", "tries", "said", "outcome")
        return {name: value for name, value in asdict(self).items() if name in shown}


Tell = Callable[[Call], Awaitable[bytes | None]]
"""The JSON text that tells a due call's event; None if it did not come to pass, or its work is deleted."""

_COLUMNS: Final = ", ".join(field.name for field in fields(Call))
_PLACES: Final = ", ".join("?" for _ in fields(Call))


class NotHere(ValueError):
    """A webhook would leave this machine."""


def loopback(url: Any) -> str | None:
    """`url`, if it leads to this machine; None where none is asked for. Raises NotHere."""
    if not url:
        return None
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        host = parts.hostname or ""
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here or parts.scheme not in ("http", "https"):
        raise NotHere(f"The sandbox calls this machine only, such as http://127.0.0.1:9000/hook, not {url!r}")
    return str(url)


class Webhooks:
    """Keeps the calls and makes them. `speed` divides the waits between tries."""

    def __init__(self, db: sqlite3.Connection, speed: float) -> None:
        self._db = db
        self._speed = speed
        self._voices: dict[str, tuple[Tell, Sign]] = {}
        self._changed = asyncio.Event()
        self._going: dict[str, asyncio.Task[None]] = {}

    def speak_for(self, provider: str, tell: Tell, sign: Sign) -> None:
        """From now on the calls of `provider` say what `tell` answers, under the headers of `sign`."""
        self._voices[provider] = tell, sign

    def schedule(
        self, provider: str, work: str, due: Iterable[tuple[str, float]], *, url: str, origin: str, secret: str = ""
    ) -> None:
        """One call for each of `due`, (event, unix seconds). Belongs into the transaction that keeps the work."""
        signed_by = secret or self.secret(provider)
        calls = [
            Call(f"msg_{secrets.token_hex(12)}", provider, work, event, url, origin, signed_by, at) for event, at in due
        ]
        self._db.executemany(f"INSERT INTO calls ({_COLUMNS}) VALUES ({_PLACES})", map(astuple, calls))
        self._changed.set()

    def hasten(self, work: str) -> None:
        """Something ended `work` early: what waits to be told of it comes to pass now or not at all."""
        self._db.execute(
            "UPDATE calls SET due_at = min(due_at, ?) WHERE work = ? AND outcome IS NULL AND body IS NULL",
            (time.time(), work),
        )
        self._changed.set()

    def secret(self, provider: str) -> str:
        """The one that its calls are signed with; made on first use, and kept."""
        self._db.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (provider, new_secret()))
        kept: str = self._db.execute("SELECT secret FROM secrets WHERE provider = ?", (provider,)).fetchone()[0]
        return kept

    def calls(self) -> list[Call]:
        """Every call so far, oldest first."""
        return [Call(*row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM calls ORDER BY rowid")]

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """Make calls while the application runs (a `cleanup_ctx` of it)."""
        service = asyncio.create_task(self._serve())
        yield
        service.cancel()
        await asyncio.gather(service, return_exceptions=True)

    async def _serve(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, socket_factory=_local_socket)
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
        ) as http:
            try:
                while True:
                    self._changed.clear()
                    wait_s = self._start_due(http)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(wait_s):  # wait_for may swallow the cancel (python/cpython#86296)
                            await self._changed.wait()
            finally:
                going = list(self._going.values())
                for task in going:
                    task.cancel()
                await asyncio.gather(*going, return_exceptions=True)

    def _start_due(self, http: aiohttp.ClientSession) -> float:
        """Begin what is due and has room. Answers how many seconds to sleep, unless something changes before."""
        now = time.time()
        waiting = self._db.execute(
            f"SELECT {_COLUMNS} FROM calls WHERE outcome IS NULL ORDER BY due_at LIMIT ?", (2 * AT_ONCE,)
        ).fetchall()
        for call in (Call(*row) for row in waiting):
            if call.id in self._going:
                continue
            if len(self._going) == AT_ONCE:
                break
            if call.due_at > now:
                return min(call.due_at - now, _LONGEST_SLEEP_S)
            if call.tries > len(RETRY_S):
                self._note(call, call.said, "given up")
            else:
                self._going[call.id] = asyncio.create_task(self._attempt(http, call, now))
        return _LONGEST_SLEEP_S

    async def _attempt(self, http: aiohttp.ClientSession, call: Call, now: float) -> None:
        """Counted before it is made: one that breaks, whatever breaks it, is not repeated at once."""
        wait_s = [*RETRY_S, 0.0][call.tries] / self._speed
        self._db.execute("UPDATE calls SET tries = tries + 1, due_at = ? WHERE id = ?", (now + wait_s, call.id))
        try:
            tell, sign = self._voices[call.provider]
            body = call.body or await tell(call)
            if body is None:
                self._note(call, "", "dropped")
                return
            self._db.execute("UPDATE calls SET body = ? WHERE id = ?", (body, call.id))
            said, delivered = await _post(http, call, body, sign)
            self._note(call, said, "delivered" if delivered else None)
        finally:
            del self._going[call.id]
            self._changed.set()

    def _note(self, call: Call, said: str, outcome: str | None) -> None:
        self._db.execute("UPDATE calls SET said = ?, outcome = ? WHERE id = ?", (said, outcome, call.id))


async def _post(http: aiohttp.ClientSession, call: Call, body: bytes, sign: Sign) -> tuple[str, bool]:
    """What came of it, and whether the receiver took it. A redirect is followed by no provider."""
    signature = sign(Letter(call.id, call.work, call.secret, body, int(time.time())))
    headers = {"Content-Type": "application/json", **signature}
    try:
        async with http.post(call.url, data=body, headers=headers, allow_redirects=False) as answer:
            return f"HTTP {answer.status}", answer.status // 100 == 2  # noqa: PLR2004
    except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
        return f"{type(error).__name__}: {error}", False


def _local_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """Asked for every connection, so a name that resolves elsewhere leads nowhere."""
    if not ipaddress.ip_address(info[4][0]).is_loopback:
        raise OSError(f"{info[4][0]} is not this machine")
    return socket.socket(info[0], info[1], info[2])
