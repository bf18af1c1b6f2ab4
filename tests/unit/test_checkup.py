"""What `jobrunner doctor` makes of what it finds: nothing to say, or what to do."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from jobrunner.broker import checkup as redis
from jobrunner.cli.checkup.providers import judge_routes, providers
from jobrunner.cli.checkup.servers import Offset, clocks, judge_persistence, judge_postgres, judge_redis
from jobrunner.cli.checkup.workers import judge_workers
from jobrunner.errors import RateLimited
from jobrunner.store import checkup as postgres
from jobrunner.store.overview import Worker

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
POSTGRES = postgres.Facts(major=17, read_only=False, durable=True, free=80, forbidden=())
REDIS = redis.Facts(version=(7, 2), primary=True, cluster=False, appends=False, snapshots=True, saved=True, full=None)
WORKER = Worker(
    *(UUID(int=1), "one", 7, "0.1.0", "arq:queue", ["draw"], NOW, NOW, NOW, None, 10, 0, {}, True),
)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"major": 14}, "use 15 to 18"),
        ({"read_only": True}, "name the primary in database_url"),
        ({"durable": False}, "switch both on"),
        ({"forbidden": ["jobs", "steps"]}, "may not read and write jobs, steps: grant it"),
        ({"free": 9}, "9 connections are left, and each process opens up to 10"),
    ],
)
def test_what_is_wrong_with_postgres_is_told_with_its_remedy(changes: dict[str, Any], remedy: str) -> None:
    assert judge_postgres(POSTGRES, "none", 10).ok
    found = judge_postgres(replace(POSTGRES, **changes), "none", 10)
    assert not found.ok
    assert remedy in found.detail


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = judge_postgres(replace(POSTGRES, major=14, durable=False), "none", 10)
    assert "use 15 to 18; fsync or synchronous_commit is off" in found.detail


def test_behind_a_transaction_mode_pooler_few_connections_are_enough() -> None:
    assert judge_postgres(replace(POSTGRES, free=1), "transaction", 10).ok
    assert not judge_postgres(replace(POSTGRES, free=1), "session", 10).ok


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"version": (6, 0)}, "version 6.0 is too old: use 6.2 or later"),
        ({"primary": False}, "name the primary in redis_url"),
        ({"cluster": True}, "without cluster mode"),
        ({"full": 0.95}, "uses 95% of its maxmemory"),
    ],
)
def test_what_is_wrong_with_redis_is_told_with_its_remedy(changes: dict[str, Any], remedy: str) -> None:
    assert judge_redis(replace(REDIS, full=0.5)).ok
    found = judge_redis(replace(REDIS, **changes))
    assert not found.ok
    assert remedy in found.detail


@pytest.mark.parametrize(
    ("changes", "ok", "words"),
    [
        ({"appends": True}, True, "append-only file"),
        ({}, True, "snapshots: what came after the last one is entered again from Postgres"),
        ({"snapshots": False}, True, "none: what a restart forgets is entered again"),
        ({"saved": False}, False, "its last write to disk failed"),
    ],
)
def test_a_redis_that_forgets_is_fine_and_one_that_cannot_write_is_not(
    changes: dict[str, Any], ok: bool, words: str
) -> None:
    found = judge_persistence(replace(REDIS, **changes))
    assert found.ok == ok
    assert words in found.detail


@pytest.mark.parametrize(
    ("postgres_s", "redis_s", "words"),
    [
        ((1.9, 0.0), (0.0, 0.0), ""),
        ((-30.0, 0.1), (-30.5, 0.1), "Postgres is 30.0 s behind this machine"),
        ((0.0, 0.0), (5.0, 0.1), "Redis is 5.0 s ahead of Postgres"),
        ((0.0, 0.0), (5.0, 4.0), ""),
    ],
)
def test_clocks_are_apart_only_by_more_than_the_question_took(
    postgres_s: tuple[float, float], redis_s: tuple[float, float], words: str
) -> None:
    found = clocks(Offset(*postgres_s), Offset(*redis_s))["clocks"]
    assert found.ok == (not words)
    assert words in found.detail


def test_clocks_that_cannot_be_read_are_not_judged() -> None:
    assert clocks(None, Offset(0, 0)) == {}


def workers(*crew: Worker, shared: bool = False) -> str:
    """What is wrong with them; nothing if that is nothing."""
    found = judge_workers(crew, queue="arq:queue", version="0.1.0", tasks=["draw"], shared=shared)
    return "" if found.ok else found.detail


def test_workers_are_alive_on_the_queue_or_there_are_none() -> None:
    assert workers(WORKER) == ""
    for other in (replace(WORKER, alive=False), replace(WORKER, queue="another")):
        assert "start `jobrunner worker`" in workers(other)


def test_workers_are_set_up_alike() -> None:
    assert "some run jobrunner 0.0.9, and this is 0.1.0" in workers(WORKER, replace(WORKER, version="0.0.9"))
    strange = replace(WORKER, tasks=["film"])
    assert "none knows draw" in workers(strange)
    assert workers(strange, WORKER) == ""
    assert workers(strange, replace(WORKER, tasks=None)) == ""


def test_workers_of_several_machines_share_their_artifacts() -> None:
    elsewhere = replace(WORKER, host="two")
    assert "2 machines (one, two)" in workers(WORKER, elsewhere)
    assert workers(WORKER, elsewhere, shared=True) == ""


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ({"image": ["replicate:flux", "openai:gpt-image-2"], "video": []}, ""),
        ({"image": ["replicate:flux"], "video": ["runway:gen4.5", "luma:ray-2"]}, "set one (runway or luma for video)"),
        ({"image": ["replicate:flux"], "video": ["runway:gen4.5"]}, "`video = []` under [routes]"),
        ({"image": ["easel:watercolour", "replicate:flux"]}, "name easel, and there is no such provider"),
    ],
)
def test_each_route_has_somebody_to_ask(routes: dict[str, list[str]], words: str) -> None:
    found = judge_routes(routes, known={"replicate", "openai", "runway", "luma"}, able={"replicate"})
    assert found.ok == (not words)
    assert words in found.detail


class Trying:
    """A driver, as far as its key is tried."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def check_key(self) -> None:
        if self._error is not None:
            raise self._error


async def test_a_driver_says_whether_its_key_is_good_in_whatever_way_it_can() -> None:
    drivers: Any = {
        "good": Trying(),
        "busy": Trying(RateLimited("busy answers HTTP 429")),
        "broken": Trying(KeyError("balance")),
        "easel": object(),
        "keyless": Trying(),
    }
    found = await providers(drivers, {"image": ["keyless:x", "good:y"]}, keyless=["keyless"], sandbox=False)
    assert {name: check.ok for name, check in found.items()} == {
        "routes": True,
        "provider good": True,
        "provider busy": True,
        "provider broken": False,
        "provider easel": True,
    }
    assert "asks to wait: busy answers HTTP 429" in found["provider busy"].detail
    assert "balance" in found["provider broken"].detail
    assert "not tried" in found["provider easel"].detail


async def test_where_the_sandbox_stands_in_nobody_lacks_a_key() -> None:
    drivers: Any = {"runway": Trying()}
    found = await providers(drivers, {"video": ["runway:gen4.5"]}, keyless=["runway"], sandbox=True)
    assert all(check.ok for check in found.values())
    assert "stands in for runway" in found["sandbox"].detail
