"""What each compose service runs, run as a plain command with the same environment: no engine is needed for that."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobrunner.embedded import RunInfo
from tests.conftest import ROOT
from tests.processes import Jobrunner, Running, until

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yml").read_text())["services"]
HEALTHCHECK = re.search(r'CMD (\["python".*\])$', (ROOT / "Dockerfile").read_text(), re.MULTILINE)
PORT = "8080"


class Compose:
    """`jobrunner` with a service's own environment; only the servers' addresses and the volume are this machine's."""

    def __init__(self, jobrunner: Jobrunner, run: RunInfo) -> None:
        self._jobrunner = jobrunner
        self._here = {
            "JOBRUNNER_DATABASE_URL": run.database_url,
            "JOBRUNNER_REDIS_URL": run.redis_url,
            "JOBRUNNER_ARTIFACTS__URL": f"file://{jobrunner.data_dir}/artifacts",
        }

    def environment(self, service: str) -> dict[str, str]:
        said = {key: value for key, value in SERVICES[service]["environment"].items() if value is not None}
        return {**said, **{key: value for key, value in self._here.items() if key in said}}

    def start(self, service: str) -> Running:
        self._jobrunner.more = self.environment(service)
        program, *words = shlex.split(SERVICES[service]["command"])
        assert program == "jobrunner"
        return self._jobrunner.start(*words)

    def healthy(self, service: str, check: list[str]) -> bool:
        self._jobrunner.more = self.environment(service)
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        environment = {**self._jobrunner.environment, "PATH": path}
        return subprocess.run(check, env=environment, capture_output=True, check=False).returncode == 0


@pytest.fixture
def compose(jobrunner: Jobrunner, empty_database_url: str, redis_url: str) -> Compose:
    return Compose(jobrunner, RunInfo(empty_database_url, redis_url, None, None, 0))


def test_the_services_start_in_compose_s_order_and_become_healthy(compose: Compose) -> None:
    with compose.start("migrate") as migrate:
        assert migrate.process.wait(timeout=60) == 0, migrate.said()
    assert HEALTHCHECK is not None
    ready = yaml.safe_load(HEALTHCHECK.group(1))
    alive = SERVICES["worker"]["healthcheck"]["test"][1:]
    with compose.start("api") as api, compose.start("worker") as worker:
        assert api.prints(f"http://0.0.0.0:{PORT}"), api.said()
        until(lambda: compose.healthy("worker", alive), "the worker is healthy")
        until(lambda: compose.healthy("api", ready), "the API is healthy")
        assert worker.stop() == 0
        assert not compose.healthy("worker", alive)
        assert not compose.healthy("api", ready)
        assert api.stop() == 0
