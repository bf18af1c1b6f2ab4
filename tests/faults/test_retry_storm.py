"""Row: retry storm (500 jobs, provider 503)."""

from functools import partial

import aiohttp
import pytest
from pydantic import BaseModel

from jobrunner.declare import TaskContext, task
from jobrunner.job import Backoff
from jobrunner.request import TextRequest
from jobrunner.worker import breaker
from tests.faults.poisoning import patient
from tests.faults.world import World, until

JOBS = 500
MANY = 1_000_000


class Line(BaseModel):
    number: int


class Written(BaseModel):
    text: str


@task(module="ai", retries=3, backoff=Backoff(first_s=0.1))
async def write_line(ctx: TaskContext, params: Line) -> Written:
    made = await ctx.generate(TextRequest("Write one line.", f"line {params.number:03}"))
    return Written(text=made.text or "")


async def test_retry_storm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who calls before the first answers gets one too; from then on one at a time, and waiting is not charged."""
    patient(world, monkeypatch)
    monkeypatch.setattr(breaker, "OPEN", Backoff(first_s=0.4, cap_s=1.0))
    world.values["routes"] = {"text": ("openai:gpt-5.4-mini",)}

    async def probed() -> bool:
        return openings(world) > 6

    await world.fault(on="create", fail="503", count=MANY)
    async with world.api() as http, world.working(worker={"max_jobs": JOBS}):
        for number in range(JOBS):
            await until(partial(accepted, world, http, number))
        await until(probed)
        waiting = [row["due_at"] for row in await world.rows() if row["status"] == "pending"]
        calls, probes = await refused(world), openings(world)
        await world.no_faults()
        rows = await world.all_end(status="completed", crashes=0)
    assert calls <= JOBS / 10 + probes
    assert sum(row["failures"] for row in rows) <= calls
    assert len(set(waiting)) > len(waiting) / 2
    assert len(world.bought()) == JOBS


async def accepted(world: World, http: aiohttp.ClientSession, number: int) -> bool:
    """Asked again with the same key where the answer was 503: so many attempts in one process may hold up a submit."""
    line = {"task": "write_line", "params": {"number": number}, "idempotency_key": f"line {number}"}
    answer = await world.submit(http, "", **line)
    assert answer.status in {202, 503}, answer.body
    return answer.status == 202


def openings(world: World) -> int:
    return len([event for event in world.events if event.name == "provider.left_alone"])


async def refused(world: World) -> int:
    async with aiohttp.ClientSession(world.sandbox.base_url) as http, http.get("/admin/faults") as answer:
        [rule] = await answer.json()
        return MANY - int(rule["count"])
