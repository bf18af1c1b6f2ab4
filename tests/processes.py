"""Real `jobrunner` processes in a data directory of their own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.conftest import ROOT

PATIENCE_S = 60.0


@dataclass
class Jobrunner:
    """Runs commands on `data_dir`, with none of the settings that this process may have."""

    data_dir: Path
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        dropped = ("JOBRUNNER_", "PYTHONDONTWRITEBYTECODE")  # compiling anew takes most of a short command's time
        kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
        return {**kept, "PYTHONPATH": str(ROOT), "JOBRUNNER_DATA_DIR": str(self.data_dir), **self.more}

    def __call__(self, *words: str, patience_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        command = [sys.executable, "-m", "jobrunner", *words]
        return subprocess.run(
            command,
            env=self.environment,
            cwd=self.data_dir.parent,
            capture_output=True,
            text=True,
            timeout=patience_s,
            check=False,
        )

    def at_once(self, *commands: Sequence[str]) -> list[subprocess.CompletedProcess[str]]:
        """Several commands side by side: most of their time is Python's start."""
        with ThreadPoolExecutor(len(commands)) as threads:
            return list(threads.map(lambda words: self(*words), commands))

    def json(self, *words: str) -> Any:
        done = self(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *words: str, lasting_s: float = 2 * PATIENCE_S) -> "Running":
        return Running(self, words, lasting_s=lasting_s)

    def left_behind(self) -> list[str]:
        """Processes that belong to the data directory: by environment, arguments or working directory."""
        return [f"{pid} {text}" for pid, text in map(_look_at, _pids()) if str(self.data_dir) in text]


class Running:
    """A command that runs until it is told to stop; a watchdog kills it if the test forgets."""

    def __init__(
        self,
        jobrunner: Jobrunner,
        words: tuple[str, ...],
        *,
        program: Sequence[str] = (sys.executable, "-m", "jobrunner"),
        lasting_s: float = 2 * PATIENCE_S,
    ) -> None:
        self.log = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115  # closed in __exit__
        self.process = subprocess.Popen(
            [*program, *words],
            env=jobrunner.environment,
            cwd=jobrunner.data_dir.parent,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self._watchdog = threading.Timer(lasting_s, self.process.kill)

    def __enter__(self) -> Self:
        self._watchdog.start()
        return self

    def ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"not ready, but ended with {self.process.wait(PATIENCE_S)}:\n{self.said()}"
        ready: dict[str, Any] = json.loads(line)
        assert ready["event"] == "ready"
        return ready

    def prints(self, word: str) -> bool:
        """Read stdout until a line holds `word`; False if it ended first."""
        assert self.process.stdout is not None
        return any(word in line for line in self.process.stdout)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        self._watchdog.cancel()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()


def until(holds: Callable[[], bool], what: str, otherwise: Callable[[], object] = str) -> None:
    """Wait for a condition; `otherwise` tells what to read where it never came true."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S:g} s; {otherwise()}"
        time.sleep(0.05)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and int(path.name) != os.getpid()]


def _look_at(pid: int) -> tuple[int, str]:
    try:
        root = Path("/proc", str(pid))
        words = (root / "cmdline").read_bytes() + b" " + (root / "environ").read_bytes()
        return pid, f"{(root / 'cwd').readlink()} {words.decode(errors='replace')}"
    except OSError:  # it ended, or is another user's
        return pid, ""
