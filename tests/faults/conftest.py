"""A world for every fault, judged by the invariant checker at its end; `--rounds 10` runs each test ten times."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import redis

from jobrunner.store.migrate import migrate
from tests.faults.scaling import PYTHONPATH, scale
from tests.faults.servers import Mortals, serving
from tests.faults.world import World
from tests.faults.world import world as making


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rounds", type=int, default=1, help="how often to run each fault test")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rounds = metafunc.config.getoption("--rounds", 1)  # unknown where pytest was not told of this directory
    if rounds > 1:
        metafunc.fixturenames.append("round_number")
        metafunc.parametrize("round_number", range(rounds))


@pytest.fixture(autouse=True)
def _scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    scale(monkeypatch.setattr)
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)


@pytest.fixture
async def unjudged(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A world on the servers that all tests share."""
    async with making(tmp_path, database_url, redis_url) as world:
        yield world


@pytest.fixture
async def world(unjudged: World) -> AsyncIterator[World]:
    yield unjudged
    assert await unjudged.violations() == []


@pytest.fixture(scope="session")
def mortals() -> Iterator[Mortals]:
    with tempfile.TemporaryDirectory(prefix="jobrunner-tests-") as directory, serving(Path(directory)) as mortals:
        yield mortals


@pytest.fixture
async def mortal_world(mortals: Mortals, tmp_path: Path) -> AsyncIterator[World]:
    """A world on servers of which a test may kill one."""
    with redis.Redis.from_url(mortals.redis_url) as client:
        client.flushall()
    name = f"world_{uuid4().hex}"
    administrator = await asyncpg.connect(mortals.database_url)
    await administrator.execute(f"CREATE DATABASE {name}")
    await administrator.close()
    url = mortals.database_url.replace("///jobrunner?", f"///{name}?")
    await migrate(url)
    async with making(tmp_path, url, mortals.redis_url) as world:
        yield world
        assert await world.violations() == []
