"""Mixed work under random kills, stops, restarts, cuts and faulty answers; then the invariant checker.

`python -m tests.faults.chaos --jobs 2000 --workers 4 --kills 20 --redis 3 --postgres 2 --faulty 0.05`. The seed is
printed first; a run with the same one takes the same decisions (the machine's timing is its own). Ends with 1 where an
invariant is violated or a recovery took longer than it may.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import aiohttp
import asyncpg
import orjson

from jobrunner.job import TERMINAL
from jobrunner.store.migrate import migrate
from tests.faults.servers import Mortals, Name, serving
from tests.faults.world import SPEED, World, world
from tests.processes import Running

PATIENCE_S = 120.0
"""How long no job may end once nothing goes wrong any more."""

AT_ONCE = 100
"""Submissions under way."""

ANSWERS = ("429", "500", "503", "reset", "truncate", "wrong_type")
ONCE_MADE = ("poll", "file", "create")
PROVIDER_S = 60.0
"""The sandbox shares two processors with all that is under test."""

SHOWN = 20
"""A run that went wrong went wrong a thousand times in the same way."""

MAY_FAIL = frozenset({"submit_outcome_unknown", "media_invalid"})
"""What a job may end with: its provider has neither key nor look-up, or answered a broken file more than once."""


@dataclass(frozen=True)
class Plan:
    """A lease must outlast the pauses of a machine that is overloaded: with thousands of jobs 2 s do not."""

    jobs: int = 300
    workers: int = 2
    kills: int = 4
    redis: int = 1
    postgres: int = 1
    faulty: float = 0.05
    lease_s: float = 2.0
    seed: int = 0


@dataclass
class Summary:
    plan: Plan
    took_s: float
    statuses: Counter[str]
    codes: Counter[str]
    purchases: int
    twice: int
    longest_s: dict[str, float]
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        plan = self.plan
        longest = ", ".join(f"{what} {took_s:.1f} s" for what, took_s in sorted(self.longest_s.items()))
        lines = [
            f"{plan.jobs} jobs on {plan.workers} workers in {self.took_s:.0f} s; faulty answers: {plan.faulty:.0%}",
            f"blows: {plan.kills} to workers, {plan.redis} restarts of Redis, {plan.postgres} of Postgres",
            f"ended: {dict(self.statuses)}; failed for: {dict(self.codes)}",
            f"purchases: {self.purchases}; bought twice: {self.twice}",
            f"longest recovery: {longest} (leases of {plan.lease_s:g} s)",
            f"violations: {len(self.violations)}",
            *self.violations[:SHOWN],
        ]
        return "\n".join(lines)


class Chaos:
    """One run in one world. `fleet` are the processes that their supervisor starts again: the API and the workers."""

    def __init__(self, plan: Plan, place: World, mortals: Mortals) -> None:
        self._plan = plan
        self._world = place
        self._mortals = mortals
        self._random = random.Random(plan.seed)
        self._fleet: list[Running | None] = [None] * (plan.workers + 1)
        self._api_url = asyncio.get_running_loop().create_future()
        self._submitting = asyncio.Semaphore(AT_ONCE)
        self._http: aiohttp.ClientSession
        self._feeding: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Feed the jobs in as many portions as there are blows, one blow after each."""
        blows = self._blows()
        portions = [range(self._plan.jobs)[at :: len(blows) + 1] for at in range(len(blows) + 1)]
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as self._http, asyncio.TaskGroup() as group:
            keepers = [group.create_task(self._keep_running(place)) for place in range(len(self._fleet))]
            for portion, blow in zip(portions, [*blows, None], strict=True):
                self._feeding |= {group.create_task(self._submit(number)) for number in portion}
                await asyncio.sleep(self._random.uniform(0.1, 1.0))
                if blow is not None:
                    await blow()
            await asyncio.wait(self._feeding)
            await self._world.no_faults()
            await self._all_end()
            for keeper in keepers:
                keeper.cancel()

    # ---- the work ------------------------------------------------------------------------------

    async def _submit(self, number: int) -> None:
        """As a client that must not lose a job does: again with the same key until it is answered 202."""
        prompt = f"{self._plan.seed} job {number}" + (" [slow]" if self._random.random() < 0.1 else "")
        body = {"task": "enhance_prompt", "params": {"prompt": prompt, "user_id": "u1"}}
        if number % 5:
            params = {"scene_description": prompt, "scene_number": 1, "user_id": "u1", "size": "64x64"}
            body = {"task": "generate_scene_image", "params": params}
        faulty = self._random.random() < self._plan.faulty
        fault = {"on": self._random.choice(ONCE_MADE), "fail": self._random.choice(ANSWERS), "count": 1}
        headers = {"Idempotency-Key": f"{self._plan.seed}-{number}"}
        async with self._submitting:
            if faulty:
                await self._world.fault(**fault)
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    url = f"{await self._api_url}/v1/jobs"
                    async with self._http.post(url, json=body, headers=headers) as answer:
                        if answer.status == 202:
                            self._world.accepted.append(UUID((await answer.json())["id"]))
                            return
                        assert answer.status in {429, 503}, await answer.text()
                await asyncio.sleep(self._random.uniform(0.1, 0.5))

    async def _all_end(self) -> None:
        asked = "SELECT count(*) FROM jobrunner.jobs WHERE status <> ALL ($1::text[])"
        left, deadline = self._plan.jobs, time.monotonic() + PATIENCE_S
        while now_left := await self._world.database.fetchval(asked, [str(status) for status in TERMINAL]):
            if now_left < left:
                left, deadline = now_left, time.monotonic() + PATIENCE_S
            elif time.monotonic() > deadline:
                return  # the invariant checker names them
            await asyncio.sleep(0.2)

    # ---- the supervisor ------------------------------------------------------------------------

    async def _keep_running(self, place: int) -> None:
        """Place 0 is the API's; whatever dies is replaced at once."""
        words = ("worker",) if place else ("serve", "--json")
        while True:
            async with self._world.process(*words) as running:
                self._fleet[place] = running
                if not place:
                    with contextlib.suppress(AssertionError):  # killed, or without its servers, before it was ready
                        ready = await asyncio.to_thread(running.ready)
                        self._api_url.set_result(ready["api"])
                await _death(running)
            if not place and self._api_url.done():
                self._api_url = asyncio.get_running_loop().create_future()

    # ---- the blows -----------------------------------------------------------------------------

    def _blows(self) -> list[Callable[[], Awaitable[None]]]:
        """What is going to happen, in random order."""
        plan = self._plan
        deadly = [self._kill, self._kill, self._deploy, self._freeze]
        blows: list[Callable[[], Awaitable[None]]] = [deadly[number % len(deadly)] for number in range(plan.kills)]
        blows += [self._restart_redis] * plan.redis + [self._restart_postgres] * plan.postgres
        blows += [self._flush, self._cut_redis, self._cut_postgres, self._kill_api]
        self._random.shuffle(blows)
        return blows

    def _victim(self) -> Running | None:
        return self._fleet[self._random.randrange(1, len(self._fleet))]

    async def _kill(self) -> None:
        if (victim := self._victim()) is not None:
            await self._bereave(victim, signal.SIGKILL)

    async def _deploy(self) -> None:
        if (victim := self._victim()) is not None:
            async with self._world.recovering("drained"):
                victim.process.terminate()
                await _death(victim)

    async def _freeze(self) -> None:
        """A zombie: it stands still past its lease and then goes on."""
        if (victim := self._victim()) is not None:
            await self._bereave(victim, signal.SIGSTOP)
            victim.process.send_signal(signal.SIGCONT)

    async def _bereave(self, victim: Running, number: signal.Signals) -> None:
        """What the victim held must be in other hands, or ended, within the bound."""
        held = (
            "SELECT jobs.id, fence FROM jobrunner.jobs JOIN jobrunner.workers ON worker_id = workers.id WHERE pid = $1"
        )
        victim.process.send_signal(number)
        lost = await self._world.database.fetch(held, victim.process.pid)
        still = (
            "SELECT count(*) FROM unnest($1::uuid[], $2::bigint[]) AS lost (id, fence) "
            "JOIN jobrunner.jobs USING (id, fence) WHERE status IN ('pending', 'in_progress')"
        )
        ids, fences = [row["id"] for row in lost], [row["fence"] for row in lost]
        async with self._world.recovering("worker killed"):
            while await self._world.database.fetchval(still, ids, fences):  # noqa: ASYNC110  # elsewhere
                await asyncio.sleep(0.1)

    async def _kill_api(self) -> None:
        if (api := self._fleet[0]) is not None:
            api.process.kill()

    async def _restart_redis(self) -> None:
        await self._restart("redis", signal.SIGKILL)

    async def _restart_postgres(self) -> None:
        await self._restart("postgres", self._random.choice([signal.SIGQUIT, signal.SIGINT]))

    async def _restart(self, name: Name, number: signal.Signals) -> None:
        async with self._mortals.killed(name, number):
            await asyncio.sleep(self._random.uniform(0.0, 3.0))
        async with self._world.recovering("server back"):
            await self._world.reconnect()
            while not await self._is_ready():  # noqa: ASYNC110  # elsewhere
                await asyncio.sleep(0.1)

    async def _is_ready(self) -> bool:
        """The API reaches both servers, and a worker lives."""
        try:
            async with self._http.get(f"{await self._api_url}/readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _flush(self) -> None:
        await self._world.store.flushall()

    async def _cut_redis(self) -> None:
        await self._world.redis.cut()
        await asyncio.sleep(self._random.uniform(0.5, 3.0))
        self._world.redis.mend()

    async def _cut_postgres(self) -> None:
        await self._world.postgres.cut()
        await asyncio.sleep(self._random.uniform(0.5, 3.0))
        self._world.postgres.mend()


async def _death(running: Running) -> None:
    """Without a thread that waits: the sandbox needs them for its pictures."""
    while running.process.poll() is None:  # noqa: ASYNC110  # it happens elsewhere
        await asyncio.sleep(0.05)


async def unleash(plan: Plan, place: World, mortals: Mortals) -> Summary:
    place.values |= {
        "providers": place.providers(timeout_s=PROVIDER_S),
        "worker": {"lease_s": plan.lease_s, "drain_s": 0.5, "max_jobs": 200},
        "task_modules": ("jobrunner.tasks.image", "jobrunner.tasks.ai"),
        "routes": {**place.values["routes"], "text": ("openai:chat/gpt-5.4-mini",)},
    }
    began = time.monotonic()
    await Chaos(plan, place, mortals).run()
    took_s = time.monotonic() - began
    rows = await place.rows()
    bought = Counter(place.bought())
    longest: dict[str, float] = {}
    for recovery in place.recoveries:
        longest[recovery.what] = max(recovery.took_s, longest.get(recovery.what, 0.0))
    return Summary(
        plan=plan,
        took_s=took_s,
        statuses=Counter(row["status"] for row in rows),
        codes=Counter(_code(row) for row in rows if row["status"] == "failed"),
        purchases=bought.total(),
        twice=sum(times > 1 for times in bought.values()),
        longest_s=longest,
        violations=[*await place.violations(), *_wrongly_failed(rows), *_missing(plan, rows)],
    )


def _code(row: asyncpg.Record) -> str:
    return str(orjson.loads(row["error"])["code"])


def _wrongly_failed(rows: Sequence[asyncpg.Record]) -> Iterator[str]:
    for row in rows:
        if row["status"] == "failed" and _code(row) not in MAY_FAIL:
            yield f"job {row['id']} ({row['task']}) failed: {row['error']}"


def _missing(plan: Plan, rows: Sequence[asyncpg.Record]) -> Iterator[str]:
    if len({row["id"] for row in rows}) != plan.jobs:
        yield f"{plan.jobs} jobs were submitted, {len(rows)} stand"


@asynccontextmanager
async def own_world(*, speed: float = SPEED) -> AsyncIterator[tuple[World, Mortals]]:
    """A world on servers of its own, for a program that is no test."""
    with tempfile.TemporaryDirectory(prefix="jobrunner-world-") as name, serving(Path(name, "servers")) as mortals:
        await migrate(mortals.database_url)
        directory = Path(name, "world")
        directory.mkdir()
        async with world(directory, mortals.database_url, mortals.redis_url, speed=speed) as place:
            yield place, mortals


async def main(plan: Plan) -> bool:
    """Whether every invariant held."""
    print(f"seed {plan.seed}", flush=True)
    async with own_world() as (place, mortals):
        summary = await unleash(plan, place, mortals)
    print(summary)
    return not summary.violations


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for key, value in vars(Plan(seed=random.randrange(1_000_000))).items():
        parser.add_argument(f"--{key}", type=type(value), default=value)
    sys.exit(not asyncio.run(main(Plan(**vars(parser.parse_args())))))
