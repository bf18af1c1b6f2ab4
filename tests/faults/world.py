"""A private world for one fault: a database, a Redis, a sandbox, lines that can be cut, API and workers, all watched.

API and worker run in this process (`api`, `working`) where nobody has to die, else in their own (`process`).
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import asyncpg
from arq.connections import ArqRedis

from jobrunner.api import serving
from jobrunner.broker.connection import make_redis
from jobrunner.declare import declared
from jobrunner.events import Event, subscribe
from jobrunner.job import TERMINAL
from jobrunner.runtime import SANDBOX_KEY, SANDBOX_MINT, SANDBOX_PREFIXES, opened
from jobrunner.sandbox import app as sandbox
from jobrunner.sandbox import ledger
from jobrunner.sandbox.pinata.pins import DIRECTORY as PINS
from jobrunner.settings import Settings
from jobrunner.worker.loop import WorkerLoop
from tests.faults.audit import install, refuse, refuse_no_more, signed
from tests.faults.chain import CHAIN, Chain
from tests.faults.invariants import Recovery, gather, violations
from tests.faults.proxy import Proxy
from tests.faults.scaling import CLOCK_OFF_S, PYTHONPATH
from tests.processes import Jobrunner, Running
from tests.workers import at_work

SOON_S = 20.0
"""No promise: only how long a test waits for what should have come long before."""

LEASE_S = 2.0
SPEED = 20.0
"""A picture takes 30 to 75 ms at the sandbox then, and a `[slow]` one 1.5 s."""

MINT = {**SANDBOX_MINT, "signing_key": SANDBOX_MINT["signing_key"].get_secret_value(), "confirmations": 2}

DATABASE_CANARY, REDIS_CANARY = "canary-in-database-url", "canary-in-redis-url"
CANARIES = (DATABASE_CANARY, REDIS_CANARY, MINT["signing_key"].removeprefix("0x"), SANDBOX_KEY)


@dataclass(frozen=True)
class Answer:
    """What the API said."""

    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class World:
    """`postgres` and `redis` are the lines; `database` and `store` lead past them. `said` is by where it was said."""

    directory: Path
    database_url: str
    postgres: Proxy
    redis: Proxy
    database: asyncpg.Connection
    store: ArqRedis
    sandbox: sandbox.Sandbox
    values: dict[str, Any]
    accepted: list[UUID] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    _names: Callable[[], int] = field(default_factory=lambda: count(1).__next__)

    # ---- who acts ------------------------------------------------------------------------------

    def settings(self, who: str, **changes: Any) -> Settings:
        return Settings(**{**self.values, "database_url": signed(self.values["database_url"], who), **changes})

    def providers(self, **changes: Any) -> dict[str, Any]:
        """As they are set, but for `changes` to each."""
        return {name: {**provider, **changes} for name, provider in self.values["providers"].items()}

    @asynccontextmanager
    async def api(self, **changes: Any) -> AsyncIterator[aiohttp.ClientSession]:
        settings = self.settings(f"api-{self._names()}", **changes)
        async with opened(settings) as runtime, serving(runtime) as url, self.calling(url) as http:
            yield http

    def calling(self, url: str) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=SOON_S))

    @asynccontextmanager
    async def made_worker(self, **changes: Any) -> AsyncIterator[WorkerLoop]:
        """One that does not run yet."""
        async with opened(self.settings(f"worker-{self._names()}", **changes)) as runtime:
            yield WorkerLoop(runtime)

    @asynccontextmanager
    async def working(self, **changes: Any) -> AsyncIterator[WorkerLoop]:
        async with self.made_worker(**changes) as worker, at_work(worker, leaves_within_s=SOON_S):
            yield worker

    @asynccontextmanager
    async def process(self, *words: str, failpoint: str = "", clock_off_s: float = 0.0) -> AsyncIterator[Running]:
        """`jobrunner WORDS` as a process of its own."""
        who = f"{words[0]}-{self._names()}"
        values = {**self.values, "database_url": signed(self.values["database_url"], who)}
        more = {f"JOBRUNNER_{key.upper()}": _text(value) for key, value in values.items()}
        more |= {"PYTHONPATH": PYTHONPATH}
        more |= {"JOBRUNNER_FAILPOINT": failpoint} if failpoint else {}
        more |= {CLOCK_OFF_S: str(clock_off_s)} if clock_off_s else {}
        running = Running(Jobrunner(self.directory, more), words)
        with running:
            try:
                yield running
            finally:
                if running.process.poll() is None:
                    await asyncio.to_thread(running.stop)
                self.said[who] = running.said()

    # ---- what a test asks for ------------------------------------------------------------------

    async def submit(self, http: aiohttp.ClientSession, prompt: str, **more: Any) -> Answer:
        """A job that the API accepts is one that must end."""
        body = {"task": "draw_soon", "params": {"prompt": prompt}, **more}
        answer = await self.ask(http, "POST", "/v1/jobs", body)
        if answer.status == 202:
            self.accepted.append(UUID(answer.body["id"]))
        return answer

    async def ask(self, http: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> Answer:
        async with http.request(method, path, json=body) as answer:
            text = await answer.text()
            self.said[f"answer {self._names()}"] = f"{answer.headers} {text}"
            return Answer(answer.status, answer.headers, json.loads(text))

    async def take(self, http: aiohttp.ClientSession, *prompts: str, **more: Any) -> list[UUID]:
        """Submit these; each has to be accepted."""
        answers = await asyncio.gather(*(self.submit(http, prompt, **more) for prompt in prompts))
        assert [answer.status for answer in answers] == [202] * len(prompts), self.said
        return self.accepted[-len(prompts) :]

    async def rows(self, *ids: UUID) -> list[asyncpg.Record]:
        """All that were accepted, or those named, in that order."""
        wanted = list(ids or self.accepted)
        found = await self.database.fetch("SELECT * FROM jobrunner.jobs WHERE id = ANY ($1::uuid[])", wanted)
        return sorted(found, key=lambda row: wanted.index(row["id"]))

    async def all_end(self, **expected: Any) -> list[asyncpg.Record]:
        """Wait until every accepted job has ended, and as `expected`, e.g. `status="completed", failures=0`."""
        rows: list[asyncpg.Record] = await until(self._ended, self._last_words)
        assert [{key: row[key] for key in expected} for row in rows] == [expected] * len(rows), rows
        return rows

    async def _ended(self) -> list[asyncpg.Record]:
        rows = await self.rows()
        return rows if all(row["status"] in TERMINAL for row in rows) else []

    async def claimed(self, *, fence: int) -> None:
        """Wait until every accepted job was claimed so often."""
        await until(lambda: self._all(fence=fence), self._last_words)

    async def standing(self, status: str, *, fence: int) -> None:
        """Wait until every accepted job stands like that."""
        await until(lambda: self._all(status=status, fence=fence), self._last_words)

    async def _all(self, **expected: Any) -> bool:
        return all(row[key] == value for row in await self.rows() for key, value in expected.items())

    async def bound(self) -> None:
        """Wait until every accepted job has the handle of what it bought."""

        async def have() -> bool:
            found = await self.database.fetch("SELECT FROM jobrunner.steps WHERE handle IS NOT NULL")
            return len(found) == len(self.accepted)

        await until(have, self._last_words)

    async def queued(self, *jobs: UUID) -> None:
        """Wait until Redis' queue holds these and nothing else."""
        wanted = {str(job).encode() for job in jobs}

        async def holds() -> bool:
            return set(await self.store.zrange("arq:queue", 0, -1)) == wanted

        await until(holds, self._last_words)

    async def heard(self, name: str) -> Event:
        """The first event of that name in this process, once it came."""

        async def found() -> Event | None:
            return next((event for event in self.events if event.name == name), None)

        event = await until(found, self._last_words)
        assert isinstance(event, Event)
        return event

    async def leases_over(self) -> None:
        """Wait until no worker's lease lasts, in the database's own time."""

        async def over() -> bool:
            lasting = "SELECT FROM jobrunner.workers WHERE dead_at IS NULL AND lease_until > now()"
            return not await self.database.fetch(lasting)

        await until(over, self._last_words)

    async def leases_renewed(self) -> None:
        """Wait until every worker has renewed its lease later than when the present one would have ended."""
        alive = "SELECT id, lease_until, renewed_at FROM jobrunner.workers WHERE dead_at IS NULL"
        ends = {row["id"]: row["lease_until"] for row in await self.database.fetch(alive)}

        async def renewed() -> bool:
            rows = await self.database.fetch(alive)
            now = {row["id"]: row["renewed_at"] for row in rows}
            return all(id in now and now[id] > end for id, end in ends.items())

        await until(renewed, self._last_words)

    async def disconnect(self) -> None:
        await self.database.close()

    async def reconnect(self) -> None:
        """To a Postgres that was started again."""
        self.database.terminate()
        self.database = await asyncpg.connect(self.database_url)

    @asynccontextmanager
    async def refusing(self, code: str, *, times: int = 1_000_000) -> AsyncIterator[None]:
        """Postgres raises `code` upon the next so many writes of a job or a step."""
        await refuse(self.database, code, times)
        yield
        await refuse_no_more(self.database)

    async def fault(self, **rule: Any) -> None:
        """Ask the sandbox for a fault."""
        async with self.calling(self.sandbox.base_url) as http, http.post("/admin/faults", json=rule) as answer:
            assert answer.status == 201

    async def no_faults(self) -> None:
        async with self.calling(self.sandbox.base_url) as http, http.delete("/admin/faults"):
            pass

    def _last_words(self) -> str:
        return "\n".join(map(repr, self.events[-30:]))

    def purchases(self, provider: str | None = None) -> list[ledger.Purchase]:
        return ledger.read(self.directory / "sandbox", provider)

    def bought(self) -> list[str]:
        """The prompts of all purchases, sorted."""
        return sorted(purchase.prompt for purchase in self.purchases())

    @property
    def chain(self) -> Chain:
        return Chain(f"{self.sandbox.base_url}/eth", self.values["mint"]["contract"])

    @asynccontextmanager
    async def recovering(self, what: str) -> AsyncIterator[None]:
        """Measure how long the block takes, for I7."""
        began = time.monotonic()
        yield
        self.recoveries.append(Recovery(what, time.monotonic() - began))

    async def violations(self, **planted: Any) -> list[str]:
        """All invariants, judged on all that is left; `planted` stands in place of what was gathered."""
        gathered: dict[str, Any] = {
            "artifact_dir": self.directory / "artifacts",
            "purchases": self.purchases(),
            "pinned": [f"ipfs://{file.name}" for file in (self.directory / "sandbox" / PINS).glob("*")],
            "resubmit": {task.name for task in declared().values() if task.resubmit},
            "accepted": self.accepted,
            "recoveries": self.recoveries,
            "tokens": await self.chain.tokens() if self.purchases(CHAIN) else (),  # an idle chain is not even begun
            "canaries": CANARIES,
            "said": {**self.said, "this process' log": "\n".join(map(repr, self.events))},
        }
        return violations(await gather(self.database, self.store, **{**gathered, **planted}))


@asynccontextmanager
async def world(directory: Path, database_url: str, redis_url: str, *, speed: float = SPEED) -> AsyncIterator[World]:
    """On servers at these Unix sockets; `database_url` names a database that is migrated and empty."""
    there, here = urlsplit(database_url), urlsplit(redis_url)
    socket = next(part.removeprefix("host=") for part in there.query.split("&") if part.startswith("host="))
    async with AsyncExitStack() as stack:
        postgres = await stack.enter_async_context(Proxy(Path(socket, ".s.PGSQL.5432")).listening())
        redis = await stack.enter_async_context(Proxy(Path(here.path)).listening())
        serving = await stack.enter_async_context(sandbox.running(directory / "sandbox", speed=speed))
        database = await asyncpg.connect(database_url)
        await install(database)
        store = make_redis(redis_url, connections=2)
        stack.push_async_callback(store.aclose, close_connection_pool=True)
        at = f"127.0.0.1:{postgres.port}{there.path}"
        values = {
            "database_url": f"postgresql://jobrunner:{DATABASE_CANARY}@{at}?sslmode=disable",
            "redis_url": f"redis://default:{REDIS_CANARY}@127.0.0.1:{redis.port}/{here.query.removeprefix('db=')}",
            "data_dir": str(directory),
            "task_modules": ("jobrunner.tasks.image", "jobrunner.tasks.blockchain", "tests.faults.tasks"),
            "worker": {"lease_s": LEASE_S, "drain_s": 0.3, "max_jobs": 50},
            "http": {"port": 0},
            "routes": {"image": ("replicate:black-forest-labs/flux-schnell",)},
            "providers": {
                name: {"base_url": serving.base_url + prefix, "api_key": SANDBOX_KEY, "timeout_s": SOON_S}
                for name, prefix in SANDBOX_PREFIXES.items()
            },
            "mint": MINT,
            "net": {"allow": (serving.base_url.removeprefix("http://"),)},
        }
        made = World(directory, database_url, postgres, redis, database, store, serving, values)
        stack.push_async_callback(made.disconnect)
        stack.enter_context(subscribe(made.events.append))
        yield made


async def until(condition: Callable[[], Awaitable[Any]], otherwise: Callable[[], str] = str) -> Any:
    """The first answer of `condition` that is true; `otherwise` tells what to read where none came."""
    deadline = time.monotonic() + SOON_S
    while not (answer := await condition()):
        assert time.monotonic() < deadline, otherwise()
        await asyncio.sleep(0.02)
    return answer


def _text(value: Any) -> str:
    """A setting as its environment variable."""
    if isinstance(value, str):
        return value
    return ",".join(value) if isinstance(value, tuple) else json.dumps(value)
