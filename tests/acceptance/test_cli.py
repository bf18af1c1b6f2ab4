"""The command line, as a person or a script uses it."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from jobrunner.cli import COMMANDS, main
from jobrunner.embedded import find
from tests.processes import Jobrunner, until

SCENE = ("generate_scene_image", "scene_description=A lighthouse", "scene_number=1", "user_id=u1", "size=256x256")
SLOW_IMPORTS = ("aiohttp", "arq", "asyncpg", "pydantic", "redis", "rich", "uvloop")


def test_help_lists_every_command_and_imports_nothing_slow() -> None:
    code = (
        "import sys\nfrom jobrunner.cli import main\nmain(['--help'], standalone_mode=False)\n"
        f"print('slow:', *(name for name in {SLOW_IMPORTS!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert done.stdout.endswith("slow:\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_values_are_read_as_the_task_wants_them() -> None:
    from jobrunner.cli.submitting import parse  # noqa: PLC0415  # slow, and --help needs none of it

    class Params(BaseModel):
        text: str
        maybe: str | None = None
        number: int
        words: tuple[str, ...] = ()

    words = ["text=1", "maybe=null", "number=2", 'words=["a", "b=c"]', "unknown=3", "number2=x"]
    assert parse(words, Params) == {
        "text": "1",
        "maybe": "null",
        "number": 2,
        "words": ["a", "b=c"],
        "unknown": "3",
        "number2": "x",
    }


def test_a_misspelt_setting_is_a_usage_error(jobrunner: Jobrunner) -> None:
    jobrunner.more["JOBRUNNER_DATABSE_URL"] = "postgresql://somewhere/db"
    done = jobrunner("jobs")
    assert done.returncode == 2
    assert done.stderr == (
        "Error: environment variable JOBRUNNER_DATABSE_URL: there is no setting `databse_url`; "
        "did you mean `database_url`?\n"
    )


def test_without_services_it_says_how_to_start_them(jobrunner: Jobrunner) -> None:
    done = jobrunner("jobs")
    assert done.returncode == 2
    assert "Start `jobrunner services`" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_nothing_answers_it_says_so_in_one_line(jobrunner: Jobrunner) -> None:
    jobrunner.more["JOBRUNNER_DATABASE_URL"] = "postgresql://user:secret@127.0.0.1:1/db"
    jobrunner.more["JOBRUNNER_REDIS_URL"] = "redis://127.0.0.1:1/0"
    for done in jobrunner.at_once(["jobs"], ["migrate"], ["up"]):
        assert done.returncode == 1
        assert done.stderr.startswith("Error: Postgres did not answer")
        assert done.stderr.count("\n") == 1
        assert "secret" not in done.stderr


def test_a_job_from_submission_to_its_picture(jobrunner: Jobrunner) -> None:
    with jobrunner.start("services", "--json") as services:
        ready = services.ready()
        assert ready["api"] is None
        assert ready["sandbox"].startswith("http://127.0.0.1:")
        retried = _decide_about_a_waiting_job(jobrunner)
        with jobrunner.start("worker") as worker:
            job = jobrunner.json("submit", *SCENE, "--wait", "--record-id", "r1", "--idempotency-key", "k1")
            assert worker.stop() == 0
        assert job["status"] == "completed"
        assert job["record_id"] == "r1"
        _look_at(jobrunner, job["id"], retried)
        _refusals(jobrunner, job["id"], services.process.pid)
        assert services.stop() == 0
    assert find(jobrunner.data_dir) is None


def _decide_about_a_waiting_job(jobrunner: Jobrunner) -> str:
    waiting = jobrunner.json("submit", *SCENE, "--delay-s", "3600")
    assert waiting["status"] == "pending"
    assert jobrunner.json("cancel", waiting["id"])["status"] == "cancelled"
    retried = jobrunner.json("retry", waiting["id"])
    assert retried["status"] == "pending"
    return str(retried["id"])


def _look_at(jobrunner: Jobrunner, job_id: str, retried: str) -> None:
    again, shown, listed, found, *texts = jobrunner.at_once(
        ["submit", *SCENE, "--record-id", "r1", "--idempotency-key", "k1", "--json"],
        ["show", job_id, "--json"],
        ["jobs", "--status", "completed", "--user", "u1", "--json"],
        ["jobs", "--text", job_id, "--json"],
        ["show", job_id],
        ["jobs", "--limit", "5"],
        ["migrate"],
    )
    assert json.loads(again.stdout)["id"] == job_id
    assert [step["state"] for step in json.loads(shown.stdout)["steps"]] == ["done"]
    assert json.loads(shown.stdout)["artifacts"][0]["mime"] == "image/png"
    assert [job["id"] for job in json.loads(listed.stdout)] == [job_id, retried]  # the newest first
    assert [job["id"] for job in json.loads(found.stdout)] == [job_id]
    assert all(expected in done.stdout for done, expected in zip(texts, (job_id, job_id, "Nothing to do"), strict=True))


def _refusals(jobrunner: Jobrunner, completed: str, holder: int) -> None:
    refusals = {
        ("cancel", completed): (1, "is completed already"),
        ("retry", completed): (1, "only failed and cancelled jobs can be retried"),
        ("show", "01a20704-8fd8-750e-8b81-653c344aa007"): (1, "There is no job"),
        ("submit", "draw_cat"): (1, "There is no task called 'draw_cat'"),
        ("submit", *SCENE, "sead=1"): (1, "params.sead: Extra inputs are not permitted"),
        ("up", "--port", "0"): (2, f"in use by process {holder}"),
        ("demo",): (1, f"in use by process {holder}"),
    }
    for done, (code, message) in zip(jobrunner.at_once(*refusals), refusals.values(), strict=True):
        assert (done.returncode, done.stderr.startswith("Error: ")) == (code, True), done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_up_serves_until_it_is_told_to_stop(jobrunner: Jobrunner) -> None:
    with jobrunner.start("up", "--port", "0", "--json") as up:
        ready = up.ready()
        run = find(jobrunner.data_dir)
        assert run is not None
        assert (run.api_url, run.sandbox_url, run.pid) == (ready["api"], ready["sandbox"], ready["pid"])
        with urllib.request.urlopen(f"{ready['api']}/readyz", timeout=10) as answer:  # noqa: S310  # ours
            assert answer.status == 200
        assert jobrunner.json("submit", *SCENE, "--wait")["status"] == "completed"
        assert up.stop(signal.SIGINT) == 0
    assert find(jobrunner.data_dir) is None


def test_a_signal_while_it_starts_leaves_nothing(jobrunner: Jobrunner) -> None:
    with jobrunner.start("services", "--json") as services:
        until((jobrunner.data_dir / "lock").exists, "the start has begun")
        assert services.stop(signal.SIGINT) == 130
        assert "Traceback" not in services.said()
