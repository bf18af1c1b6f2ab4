"""No engine runs in CI: the image's and the stack's files are linted and read; test_compose.py runs their commands."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobrunner import settings
from jobrunner.settings.tables import Worker

ROOT = Path(__file__).parents[2]
OURS = ("migrate", "api", "worker")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "compose.yml").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_hadolint_has_nothing_to_say() -> None:
    beside_python = str(Path(sys.executable).parent)
    hadolint = shutil.which("hadolint", path=beside_python) or shutil.which("hadolint")
    assert hadolint, "hadolint is missing: pip install 'jobrunner[dev]'"
    lint = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (lint.stdout + lint.stderr, lint.returncode) == ("", 0)


def test_the_image_runs_as_a_normal_user_on_pinned_hashed_parts(dockerfile: str) -> None:
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == ["python:3.12-slim-bookworm"] * 2
    assert "pip download --require-hashes --requirement requirements.lock --dest /wheels" in dockerfile
    assert "pip install --no-index --find-links /wheels 'jobrunner[mint]'" in dockerfile, "only of what was checked"
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["10001"]
    assert re.findall(r"^CMD (.+)$", dockerfile, re.MULTILINE) == ['["jobrunner", "serve"]']
    assert "/readyz" in dockerfile


def test_the_build_context_has_what_the_image_copies_and_no_settings(dockerfile: str) -> None:
    copied = {
        word.removeprefix("./")
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for word in line.split()[:-1]
    }
    let_in = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert copied == set(let_in)


def test_redis_never_evicts_and_keeps_its_queue(compose: dict[str, Any]) -> None:
    words = shlex.split(compose["services"]["redis"]["command"])
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options == {"--appendonly": "yes", "--appendfsync": "everysec", "--maxmemory-policy": "noeviction"}


def test_every_service_restarts_save_the_one_that_runs_once(compose: dict[str, Any]) -> None:
    policies = {name: service["restart"] for name, service in compose["services"].items()}
    assert policies.pop("migrate") == "no"
    assert set(policies.values()) == {"unless-stopped"}


def test_a_deploy_waits_until_the_worker_has_drained(compose: dict[str, Any]) -> None:
    grace_s = int(compose["services"]["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= Worker().drain_s + 5


def test_every_server_says_how_it_is(compose: dict[str, Any]) -> None:
    checks = {name: service.get("healthcheck", {}) for name, service in compose["services"].items()}
    assert checks.pop("api") == {}, "the image's own"
    assert checks.pop("migrate") == {"disable": True}
    port = compose["services"]["worker"]["environment"]["JOBRUNNER_WORKER__PROBE_PORT"]
    assert f"http://127.0.0.1:{port}/readyz" in checks["worker"]["test"][-1]
    assert all("test" in check for check in checks.values())


def test_only_the_api_is_published_and_only_on_loopback(compose: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {"api": ["127.0.0.1:8080:8080", "127.0.0.1:5555:8080"]}, "and where Flower was"
    assert not any("container_name" in service for service in compose["services"].values())


def test_api_and_workers_share_the_artifacts(compose: dict[str, Any]) -> None:
    api, worker = (compose["services"][name] for name in ("api", "worker"))
    assert api["volumes"] == worker["volumes"]
    volume, mount = api["volumes"][0].split(":")
    assert volume in compose["volumes"]
    assert api["environment"]["JOBRUNNER_ARTIFACTS__URL"].startswith(f"file://{mount}/")


@pytest.mark.parametrize("name", OURS)
def test_the_environment_is_made_of_settings_that_exist(
    compose: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for key, value in compose["services"][name]["environment"].items():
        if value is not None:  # without a value compose hands on the shell's, or leaves it out
            monkeypatch.setenv(key, re.sub(r"\$\{\w+:-(\w+)\}", r"\1", value))
    loaded = settings.load()
    assert loaded.database_url is not None
    assert loaded.database_url.get_secret_value() == "postgresql://jobrunner:jobrunner@postgres:5432/jobrunner"
    assert loaded.http.trust_network == (name == "api")
