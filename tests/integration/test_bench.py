"""`jobrunner bench` measures, and leaves the servers as it found them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import asyncpg
import pytest
import redis

from jobrunner.bench.load import post
from tests.processes import Jobrunner

THEIRS = """
INSERT INTO jobrunner.jobs (task, module, queue, created_at) VALUES
  ('theirs', 'theirs', 'arq:queue', now()),
  ('inserted by their application', NULL, 'arq:queue', now() - interval '1 day')
"""
WORKLOADS = ["drain", "fanout", "latency", "front", "submit", "crowd", "burst"]
PLOTTED = ["drain", "fanout", "latency", "crowd", "burst"]
MAY_BE_0 = {"shed", "loop late ms at most", "lease late"}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def all_rows(database: asyncpg.Connection) -> list[Any]:
    jobs = await database.fetch("SELECT * FROM jobrunner.jobs ORDER BY id")
    return [*map(dict, jobs), *map(dict, await database.fetch("SELECT * FROM jobrunner.workers"))]


async def test_it_measures_and_leaves_nothing_behind(
    database: asyncpg.Connection, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    await database.execute(THEIRS)
    before = await all_rows(database)
    urls = {"JOBRUNNER_DATABASE_URL": database_url, "JOBRUNNER_REDIS_URL": redis_url}
    bench = Jobrunner(tmp_path / "data", more=urls)
    outcomes = bench.json("bench", "--jobs", "20", "--out", str(tmp_path))
    assert [each["workload"] for each in outcomes] == WORKLOADS
    for each in outcomes:
        assert all(value > 0 for name, value in each["figures"].items() if name not in MAY_BE_0), each
        assert each["commits"] > 0
        assert {"Postgres", "Redis"} < set(each["cpu_s"])
    assert await all_rows(database) == before
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys() == []
    assert bench.left_behind() == []
    plots = [ET.parse(tmp_path / f"in-flight-{name}.svg") for name in PLOTTED]  # noqa: S314  # ours
    assert all(plot.find("{http://www.w3.org/2000/svg}polyline") is not None for plot in plots)


async def test_what_the_server_sheds_is_sent_again() -> None:
    answers = iter([b"503 Service Unavailable\r\nRetry-After: 0", b"503 Service Unavailable\r\nRetry-After: 0"])
    bodies = list[bytes]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(4):
            await reader.readuntil(b"\r\n\r\n")
            bodies.append(await reader.readexactly(5))
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % next(answers, b"202 Accepted"))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        taken = await post(f"http://{host}:{port}", "/v1/jobs", iter([b"first", b"other"]), connections=1)
    assert bodies == [b"first", b"first", b"first", b"other"]
    assert (taken.shed, len(taken.took_s)) == (2, 2)
