"""Poison among the jobs of a world, and what has to become of it."""

import json
from uuid import UUID

import aiohttp
import pytest

from tests.faults.world import World


def poisonous(world: World, monkeypatch: pytest.MonkeyPatch, **worker: float) -> None:
    """Let its workers know the poison."""
    world.values["task_modules"] += ("tests.faults.poison",)
    world.values["worker"] |= worker
    patient(world, monkeypatch)


def patient(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """For faults that come with much work: Python starts, hundreds of pictures. That all is slow must fail no job."""
    monkeypatch.setattr("tests.faults.world.SOON_S", 60.0)
    for provider in world.values["providers"].values():
        provider["timeout_s"] = 60.0


async def poison(world: World, http: aiohttp.ClientSession, way: str) -> UUID:
    await world.submit(http, "", task="take_poison", params={"way": way})
    return world.accepted[-1]


async def judged(world: World, healthy: list[UUID], poisons: list[UUID]) -> None:
    """Whoever was near it completed without a charge; who did it ended."""
    innocent = await world.rows(*healthy)
    assert {(row["status"], row["crashes"], row["failures"]) for row in innocent} == {("completed", 0, 0)}
    guilty = await world.rows(*poisons)
    assert {(row["status"], row["crashes"]) for row in guilty} == {("failed", 3)}
    assert {json.loads(row["error"])["code"] for row in guilty} == {"worker_crashed"}
