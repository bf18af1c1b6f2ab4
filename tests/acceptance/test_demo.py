"""`jobrunner demo`, as a newcomer runs it."""

import re
import signal
import struct
from pathlib import Path

import asyncpg

from jobrunner.embedded import find
from tests.conftest import Serving
from tests.processes import Jobrunner, until

PICTURES = 32


async def test_the_demo_leaves_pictures_rows_and_no_process(
    jobrunner: Jobrunner, serving: type[Serving], tmp_path: Path
) -> None:
    done = jobrunner("demo", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{PICTURES} of {PICTURES} pictures" in done.stdout
    in_flight = re.search(r"Up to (\d+) jobs were in flight", done.stdout)
    assert in_flight is not None
    assert int(in_flight[1]) >= 20
    assert re.search(r"took \d+ MiB at its peak", done.stdout)

    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == PICTURES
    assert {size_of(path) for path in pictures if path.name.startswith("cast")} == {(1024, 1024)}
    assert {size_of(path) for path in pictures if path.name.startswith("scene")} == {(1216, 832)}
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<img src="([^"]+)"', page) == [path.name for path in pictures]
    until(lambda: not jobrunner.left_behind(), "nothing is left running")

    with serving(jobrunner.data_dir) as servers:
        connection = await asyncpg.connect(servers.info().database_url)
        rows = await connection.fetch("SELECT * FROM image_generations")
        await connection.close()
    assert len(rows) == len({row["image_url"] for row in rows}) == PICTURES
    assert {(row["status"], row["user_id"], row["attempt"]) for row in rows} == {("completed", "demo", 1)}
    assert all(row["started_at"] < row["completed_at"] for row in rows)


def test_the_demo_uses_what_runs_and_draws_any_text(jobrunner: Jobrunner, tmp_path: Path) -> None:
    text = tmp_path / "tale.txt"
    text.write_text("The night was dark, and <Bob> & Bob's dog met Ada. Then Bob and Ada went home.", encoding="utf-8")
    with jobrunner.start("up", "--port", "0", "--json") as up:
        up.ready()
        done = jobrunner("demo", "--out", str(tmp_path / "out"), "--story", str(text))
        assert done.returncode == 0, done.stdout + done.stderr
        assert up.process.poll() is None
        assert [path.name for path in sorted((tmp_path / "out").glob("*.png"))] == [
            "cast-01-bob.png",
            "cast-02-ada.png",
            "scene-01.png",
        ]
        assert len(jobrunner.json("jobs", "--user", "demo", "--status", "completed")) == 3
        assert up.stop() == 0


def test_a_killed_demo_leaves_no_process(jobrunner: Jobrunner, tmp_path: Path) -> None:
    with jobrunner.start("demo", "--out", str(tmp_path)) as demo:
        until(lambda: (run := find(jobrunner.data_dir)) is not None and run.api_url is not None, "the API is up")
        assert demo.stop(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not jobrunner.left_behind(), "nothing is left running")


def test_an_interrupted_demo_tidies_up(jobrunner: Jobrunner, tmp_path: Path) -> None:
    with jobrunner.start("demo", "--out", str(tmp_path)) as demo:
        until(lambda: (run := find(jobrunner.data_dir)) is not None and run.api_url is not None, "the API is up")
        assert demo.stop(signal.SIGINT) == 130
        assert jobrunner.left_behind() == []
        assert "Traceback" not in demo.said()


def size_of(path: Path) -> tuple[int, int]:
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", header[16:])
    return width, height
