"""One pair of embedded servers for the whole session; a database of its own and an empty Redis for every test.

The fixtures are synchronous and work in a thread of their own, so async tests, plain tests and tests that drive
a browser can all ask for them.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self, TypeVar

import asyncpg
import hypothesis
import pytest
import redis

from jobrunner.embedded import RunInfo

# How long an example takes says something of the machine, and nothing of the property.
hypothesis.settings.register_profile("unhurried", parent=hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("unhurried")

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
TEMPLATE = "jobrunner_template"
_REDIS_DATABASES = 16

# The servers die with the thread that spawned them, hence a process: its main thread lives until its stdin closes.
_SERVE = """
import asyncio, dataclasses, json, pathlib, sys
from jobrunner import embedded

async def main():
    async with embedded.running(pathlib.Path(sys.argv[1])) as servers:
        print(json.dumps(dataclasses.asdict(servers.announce())), flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The cheap tests first: a broken decision shows before a server is started."""
    order = ("unit", "integration", "acceptance", "faults", "bench")
    items.sort(key=lambda item: next((order.index(part) for part in item.path.parts if part in order), len(order)))


@dataclass
class Serving:
    """A process that runs both servers in `data_dir` until its stdin closes."""

    data_dir: Path

    def __enter__(self) -> Self:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(self.data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        return self

    def info(self) -> RunInfo:
        """Where the servers are, once they are ready."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the servers did not start; their process ended with {self.process.wait(timeout=60)}"
        return RunInfo(**json.loads(line))

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture(scope="session")
def serving() -> type[Serving]:
    """For tests that want servers of their own, to restart or to kill. Enter it with a directory, then ask for info."""
    return Serving


def apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on another thread's loop, whatever runs on this one."""
    with ThreadPoolExecutor(1, thread_name_prefix="fixture") as threads:
        return threads.submit(asyncio.run, coroutine).result()


@pytest.fixture(scope="session")
def servers() -> Iterator[RunInfo]:
    # Not pytest's tmp_path: it keeps the last three, and its long names would move the sockets elsewhere.
    with tempfile.TemporaryDirectory(prefix="jobrunner-tests-") as directory:
        with Serving(Path(directory)) as run:
            yield run.info()
        assert run.process.returncode == 0


@pytest.fixture(scope="session")
def template(servers: RunInfo) -> RunInfo:
    """The migrations run once; every test's database is a copy."""

    async def build() -> None:
        from jobrunner.store import migrate  # noqa: PLC0415  # unit tests need not pay for it

        await _administer(servers, f"CREATE DATABASE {TEMPLATE}")
        await migrate.migrate(database_at(servers, TEMPLATE))

    apart(build())
    return servers


_numbers = count(1)


@pytest.fixture
def database_url(template: RunInfo) -> Iterator[str]:
    """A migrated, empty database for this test alone."""
    name = f"test_{next(_numbers)}"
    apart(_administer(template, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    yield database_at(template, name)
    apart(_administer(template, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def empty_database_url(servers: RunInfo) -> Iterator[str]:
    """A database in which nothing was migrated."""
    name = f"test_{next(_numbers)}"
    apart(_administer(servers, f"CREATE DATABASE {name}"))
    yield database_at(servers, name)
    apart(_administer(servers, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def redis_url(servers: RunInfo) -> str:
    """An empty Redis database. Its number changes from test to test: a straggler of the last one does no harm."""
    url = servers.redis_url.replace("db=0", f"db={next(_numbers) % _REDIS_DATABASES}")
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


def database_at(servers: RunInfo, name: str) -> str:
    return servers.database_url.replace("///jobrunner?", f"///{name}?")


async def _administer(servers: RunInfo, statement: str) -> None:
    connection = await asyncpg.connect(servers.database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
