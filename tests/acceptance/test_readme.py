"""The README, executed: its files are written, its commands typed, in its order.

The two commands under "Start" install into a virtual environment; `.ci/run` types those, on a clean checkout.
"""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from jobrunner.media import sniff
from jobrunner.sandbox.artists.artist import draw
from tests.conftest import ROOT
from tests.processes import Jobrunner, Running, until

README = (ROOT / "README.md").read_text(encoding="utf-8")
STAY = ("jobrunner up", "jobrunner services", "jobrunner serve", "arq jobrunner.worker.WorkerSettings")
"""Commands that run until they are stopped, and what they say when they are ready."""
INSTALLS = ".venv/bin/pip install"
NEEDS_APT = ("psql", "redis-cli")


@dataclass(frozen=True)
class Block:
    language: str
    file: str
    text: str

    @property
    def lines(self) -> list[str]:
        return self.text.strip().splitlines()


BLOCKS = [
    Block(*found) for found in re.findall(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
]
COMMANDS = [line for block in BLOCKS if block.language == "sh" for line in block.lines if INSTALLS not in line]


class Reader(Jobrunner):
    """Types the README's commands at home: no settings but the ones that the README writes."""

    @property
    def environment(self) -> dict[str, str]:
        home = self.data_dir.parent
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        inherited = {name: value for name, value in super().environment.items() if name != "JOBRUNNER_DATA_DIR"}
        return {**inherited, "HOME": str(home), "PATH": path}

    def types(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            env=self.environment,
            cwd=self.data_dir.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def runs(self, snippet: str) -> str:
        """Run lines that stand inside an async function."""
        indented = "\n".join(f"    {line}" for line in snippet.splitlines())
        program = f"import asyncio\nasync def main():\n{indented}\nasyncio.run(main())\n"
        (self.data_dir.parent / "snippet.py").write_text(program)
        return self.types("python snippet.py")

    def keeps_running(self, command: str) -> Running:
        return Running(self, (f"exec {command}",), program=("bash", "-c"))


@pytest.fixture
def reader(jobrunner: Jobrunner) -> Iterator[Reader]:
    reader = Reader(jobrunner.data_dir)
    for block in BLOCKS:
        if block.file:
            (jobrunner.data_dir.parent / block.file).write_text(block.text)
    picture = jobrunner.data_dir.parent / "out/demo/scene-01.png"  # as the demo leaves it
    picture.parent.mkdir(parents=True)
    picture.write_bytes(draw("A garden", 1, 64, 64))
    yield reader
    until(lambda: not reader.left_behind(), "nothing is left running")


def ready(running: Running, word: str) -> None:
    assert running.prints(word), running.said()


def commands(*starts: str) -> list[str]:
    return [command for command in COMMANDS if command.startswith(starts)]


def test_every_command_of_the_readme_is_typed_by_a_test() -> None:
    typed = {*STAY, *commands("curl", "jobrunner submit", "jobrunner jobs", "arq --check", *NEEDS_APT)}
    assert set(COMMANDS) == typed


def test_up_and_what_is_typed_beside_it(reader: Reader) -> None:
    with reader.keeps_running("jobrunner up") as up:
        ready(up, "Ready.")
        for command in commands("curl", "jobrunner submit", "jobrunner jobs"):
            assert '"status":4' not in reader.types(command)
        in_process, over_http = (block.text for block in BLOCKS if block.language == "python" and not block.file)
        assert reader.runs(f"{in_process}print(image.url)\n").startswith("/v1/artifacts/")
        assert "/v1/artifacts/" in reader.runs(over_http)
        assert sniff((reader.data_dir.parent / "lighthouse.png").read_bytes()[:16]) is not None


@contextmanager
def easel(picture: bytes) -> Iterator[str]:
    """A server such as the README's provider speaks to."""

    class Studio(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert (self.path, self.headers["Authorization"]) == ("/paint", "Bearer ...")
            assert asked["style"] == "watercolour"
            url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"id": "e1", "picture": url}).encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Studio) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_provider_of_ones_own(reader: Reader) -> None:
    home = reader.data_dir.parent
    settings = next(block.text for block in BLOCKS if block.language == "toml" and "[providers.easel]" in block.text)
    picture = draw("An easel", 2, 64, 64)
    with easel(picture) as url:
        (home / "settings.toml").write_text(settings.replace("api_key", f'base_url = "{url}"\napi_key'))
        with reader.keeps_running("jobrunner up") as up:
            ready(up, "Ready.")
            wanted = "scene_description=Dawn scene_number=1 user_id=u1 --wait --json"
            job = json.loads(reader.types(f"jobrunner submit generate_scene_image {wanted}"))
    assert [each["sha256"] for each in job["artifacts"]] == [hashlib.sha256(picture).hexdigest()]


def test_services_serve_and_worker_apart(reader: Reader) -> None:
    with reader.keeps_running("jobrunner services") as services:
        ready(services, "Ready.")
        with reader.keeps_running("jobrunner serve") as serve, reader.keeps_running(STAY[-1]) as worker:
            ready(serve, "The API is at")
            until(lambda: "worker.started" in worker.said(), "the worker claims")
            reader.types(commands("jobrunner submit make_poster")[0])
            until(lambda: "health" not in reader.types(f"{commands('arq --check')[0]} || echo no health"), "healthy")


@pytest.mark.apt
def test_looking_inside(reader: Reader) -> None:
    with reader.keeps_running("jobrunner services") as services:
        ready(services, "Ready.")
        for command in commands(*NEEDS_APT):
            reader.types(command)
