"""`jobrunner doctor` on real servers: where all is well, and each thing that is wrong on a line of its own."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from uuid_utils.compat import uuid7

from jobrunner.cli import main
from jobrunner.cli.checkup import examined
from jobrunner.observe.probes import Checks
from jobrunner.sandbox.app import running
from jobrunner.settings import Settings
from jobrunner.settings.tables import ROUTES
from jobrunner.store.postgres import Store

QUEUE = "arq:queue"


class World:
    """Settings as a file in the working directory; the servers are the session's."""

    def __init__(self, database_url: str, redis_url: str, directory: Path) -> None:
        self.redis_url = redis_url
        self.directory = directory
        self.tables: dict[str, dict[str, Any]] = {
            "": {"database_url": database_url, "redis_url": redis_url, "data_dir": str(directory)},
            "routes": {route: ["replicate:flux"] if route == "image" else [] for route in ROUTES},
            "providers.replicate": {"api_key": "test-key"},
        }

    def set(self, table: str, **values: Any) -> None:
        self.tables[table] = {**self.tables.get(table, {}), **values}

    async def found(self) -> Checks:
        self.write()
        return await examined(None)

    def write(self) -> None:
        lines = [
            "\n".join([f"[{name}]" if name else "", *(f"{key} = {json.dumps(each)}" for key, each in values.items())])
            for name, values in self.tables.items()
        ]
        (self.directory / "settings.toml").write_text("\n".join(lines))


@pytest.fixture
def bare(database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Nobody works, and the provider is out of reach."""
    monkeypatch.chdir(tmp_path)
    world = World(database_url, redis_url, tmp_path)
    world.set("providers.replicate", base_url="http://127.0.0.1:1")
    return world


@pytest.fixture
async def world(bare: World) -> AsyncIterator[World]:
    """With a worker, and a provider that takes the key."""
    bare.write()
    async with Store.opened(Settings()) as store, running(bare.directory / "sandbox") as sandbox:
        await store.leases.register(uuid7(), host="h", pid=1, queue=QUEUE, version="0.1.0", max_jobs=1, lease_s=600)
        bare.set("providers.replicate", base_url=f"{sandbox.base_url}/replicate")
        yield bare


@pytest.fixture
def evicting(redis_url: str) -> Iterator[None]:
    with redis.Redis.from_url(redis_url) as client:
        before = client.config_get("maxmemory-policy")["maxmemory-policy"]
        client.config_set("maxmemory-policy", "allkeys-lru")
        yield
        client.config_set("maxmemory-policy", before)


def wrong(checks: Checks) -> dict[str, str]:
    return {name: check.detail for name, check in checks.items() if not check.ok}


async def test_where_all_is_well_every_line_says_so(world: World) -> None:
    checks = await world.found()
    assert wrong(checks) == {}
    assert list(checks) == [
        *("versions", "settings", "postgres", "pooler", "migrations", "redis", "redis eviction", "redis persistence"),
        *("clocks", "disk", "artifacts", "ffmpeg", "workers", "routes", "provider replicate"),
    ]
    assert not [path for path in (world.directory / "artifacts").rglob("*") if path.is_file()]


async def test_a_wrong_key_is_told_and_not_shown(world: World) -> None:
    world.set("providers.replicate", api_key="r8_canary")
    found = wrong(await world.found())
    assert list(found) == ["provider replicate"]
    assert "check `api_key` under [providers.replicate]" in found["provider replicate"]
    assert "canary" not in str(found)


async def test_a_route_without_a_key_and_a_directory_that_is_not_mounted_are_told(world: World) -> None:
    world.set("routes", video=["runway:gen4.5"])
    world.set("artifacts", url="file:///nowhere/artifacts")
    found = wrong(await world.found())
    assert list(found) == ["artifacts", "routes"]
    assert "/nowhere/artifacts, which is not there: mount or make it" in found["artifacts"]
    assert "set one (runway for video)" in found["routes"]


async def test_a_database_without_tables_is_told_to_be_migrated(world: World, empty_database_url: str) -> None:
    world.set("", database_url=empty_database_url)
    found = wrong(await world.found())
    assert "run `jobrunner migrate`" in found["migrations"]
    assert "postgres" not in found


async def test_without_postgres_all_else_is_examined(world: World) -> None:
    world.set("", database_url="postgresql:///jobrunner?host=/nowhere&user=jobrunner")
    checks = await world.found()
    assert list(wrong(checks)) == ["postgres", "providers"]
    assert checks["redis"].ok
    assert checks["ffmpeg"].ok


async def test_without_redis_all_else_is_examined(world: World) -> None:
    world.set("", redis_url="unix:///nowhere/redis.sock")
    checks = await world.found()
    assert list(wrong(checks)) == ["redis"]
    assert checks["provider replicate"].ok


@pytest.mark.usefixtures("evicting")
async def test_a_redis_that_may_evict_jobs_is_told(world: World) -> None:
    assert wrong(await world.found()) == {
        "redis eviction": "Redis has maxmemory-policy allkeys-lru and would throw queued jobs away when it is full. "
        "Set `maxmemory-policy noeviction`."
    }


def test_the_command_says_what_is_wrong_in_its_exit_code_too(bare: World) -> None:
    bare.write()
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["ok"] is False
    assert {name for name, check in found["checks"].items() if not check["ok"]} == {"workers", "provider replicate"}
    lines = CliRunner().invoke(main, ["doctor"]).stdout.splitlines()
    assert [line.split()[:2] for line in lines][:2] == [["versions", "ok"], ["settings", "ok"]]
    assert any("wrong  none is alive on queue 'arq:queue': start `jobrunner worker`" in line for line in lines)


def test_wrong_settings_are_the_first_thing_to_mend(bare: World) -> None:
    bare.set("worker", max_job=3)
    bare.write()
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "setting `worker.max_job` does not exist; did you mean `worker.max_jobs`?" in result.stdout
