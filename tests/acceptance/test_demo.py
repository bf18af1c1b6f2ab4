"""`jobrunner demo`, as a newcomer runs it."""

import re
import signal
import subprocess
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import orjson

from jobrunner.demo.story import shipped
from jobrunner.embedded import find
from jobrunner.media.examining import media_info
from jobrunner.media.ffmpeg import binary
from tests.conftest import Serving
from tests.processes import Jobrunner, until

FILM_PATIENCE_S = 300.0
"""A film takes two processors most of a minute."""
RATE = 8000
"""Samples a second."""
OWNER = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"


@dataclass(frozen=True)
class Cue:
    start_s: float
    end_s: float
    text: str


async def test_the_demo_leaves_a_film_its_token_and_no_process(
    jobrunner: Jobrunner, serving: type[Serving], tmp_path: Path
) -> None:
    done = jobrunner("demo", "--out", str(tmp_path), patience_s=FILM_PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = re.search(r"(\d+) jobs; up to (\d+) were in flight at once", done.stdout)
    assert jobs is not None
    assert int(jobs[2]) >= 15
    assert re.search(r"took \d+ MiB at its peak", done.stdout)
    assert re.search(r"would have cost \d+\.\d\d USD", done.stdout)
    assert set(re.findall(r"^(\w+):\S+ +\d", done.stdout, re.MULTILINE)) == {
        *("openai", "replicate", "runway", "elevenlabs", "sync", "pinata", "ethereum")
    }
    until(lambda: not jobrunner.left_behind(), "nothing is left running")

    film = media_info(tmp_path / "film.mp4")
    assert (film.kind, film.mime, film.width, film.height) == ("video", "video/mp4", 1280, 720)
    assert film.duration_s is not None
    assert film.duration_s >= 30
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<img src="([^"]+)"', page) == pictures
    assert [name for name in pictures if name.startswith("scene")] == [f"scene-0{n}.png" for n in range(1, 7)]
    assert '<video controls preload="metadata" src="film.mp4">' in page

    with serving(jobrunner.data_dir) as servers:
        connection = await asyncpg.connect(servers.info().database_url)
        rows = await connection.fetch("SELECT task, status, fence, user_id, result::text FROM jobrunner.jobs")
        await connection.close()
    assert len(rows) == int(jobs[1])
    assert {(row["status"], row["fence"], row["user_id"]) for row in rows} == {("completed", 1, "demo")}
    (minted,) = (orjson.loads(row["result"]) for row in rows if row["task"] == "mint_nft")
    told = f"Token {minted['token_id']} of the contract {minted['contract']} belongs to {minted['owner']}."
    assert told in done.stdout
    assert minted["owner"].lower() == OWNER

    told_as_it_is_heard(tmp_path / "film.mp4")


def told_as_it_is_heard(film: Path) -> None:
    """The subtitles are the story's words in its order, and each is shown when it is spoken: not before, not after."""
    cues = subtitles(film)
    told = " ".join(re.sub(r"^\w+: ", "", cue.text) for cue in cues)
    story = iter(re.findall(r"\w+", shipped().text))
    assert all(word in story for word in re.findall(r"\w+", told))
    assert {cue.text.partition(":")[0] for cue in cues if ":" in cue.text} == {"Giant", "Snow"}
    sound = samples(film)
    before_s = 0.0
    for cue in cues:
        if cue.start_s - before_s > 0.5:  # somebody begins to speak
            before, beginning = loudness(sound, cue.start_s - 0.3, 0.3), loudness(sound, cue.start_s, 0.4)
            assert beginning > 2 * before, cue
            pause = loudness(sound, before_s + 0.2, cue.start_s - before_s - 0.2)
            assert loudness(sound, cue.start_s, cue.end_s - cue.start_s) > 4 * pause > 0, cue
        before_s = cue.end_s


def test_the_demo_uses_what_runs_and_films_any_text(jobrunner: Jobrunner, tmp_path: Path) -> None:
    text = tmp_path / "tale.txt"
    text.write_text("The night was dark, and <Bob> & Bob's dog met Ada. Then Bob and Ada went home.", encoding="utf-8")
    with jobrunner.start("up", "--port", "0", "--json") as up:
        up.ready()
        done = jobrunner(
            "demo", "--out", str(tmp_path / "out"), "--story", str(text), "--owner", OWNER, patience_s=FILM_PATIENCE_S
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert up.process.poll() is None
        assert {path.name for path in (tmp_path / "out").iterdir()} == {
            *("cast-01-ada.png", "cast-02-bob.png", "scene-01.png", "scene-02.png", "film.mp4", "index.html")
        }
        assert "lipsync_video" not in {job["task"] for job in jobrunner.json("jobs", "--user", "demo")}
        assert up.stop() == 0


def test_a_film_that_cannot_be_made_is_told_and_fails(jobrunner: Jobrunner, tmp_path: Path) -> None:
    text = tmp_path / "tale.txt"
    text.write_text("Once there was a door. Behind it there was a [moderation] room.", encoding="utf-8")
    done = jobrunner("demo", "--out", str(tmp_path / "out"), "--story", str(text))
    assert done.returncode == 1
    assert "There is no film:" in done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out/film.mp4").exists()


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


def subtitles(film: Path) -> list[Cue]:
    """Of its text track, as WebVTT has them."""
    words = decoded(film, "-map", "0:s:0", "-f", "webvtt").decode()
    found = re.findall(r"^(\d+):([\d.]+) --> (\d+):([\d.]+)\n(.+)$", words, re.MULTILINE)
    return [Cue(60 * int(m1) + float(s1), 60 * int(m2) + float(s2), text) for m1, s1, m2, s2, text in found]


def samples(film: Path) -> Sequence[int]:
    return array("h", decoded(film, "-map", "0:a:0", "-ac", "1", "-ar", str(RATE), "-f", "s16le"))


def decoded(film: Path, *how: str) -> bytes:
    run = [binary(), "-loglevel", "error", "-i", str(film), *how, "-"]
    return subprocess.run(run, capture_output=True, check=True).stdout


def loudness(sound: Sequence[int], start_s: float, length_s: float) -> float:
    """The mean square between two moments."""
    part = sound[round(start_s * RATE) : round((start_s + length_s) * RATE)]
    return sum(sample * sample for sample in part) / len(part)
