"""`jobrunner show` and `jobrunner webhooks replay`: what webhooks were told, and telling them again."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from jobrunner.cli import main
from tests.receiver import SECRET

URL = "https://example.com/told"


@pytest.fixture
def cli(database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    values = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "DATA_DIR": str(tmp_path),
        "WEBHOOKS__SECRET": SECRET,
        "WEBHOOKS__URLS": URL,
    }
    for key, value in values.items():
        monkeypatch.setenv(f"JOBRUNNER_{key}", value)

    def run(*words: str, exit_code: int = 0) -> Any:
        result = CliRunner().invoke(main, words)
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout) if "--json" in words else result.output

    return run


def test_a_delivery_is_shown_and_sent_again(cli: Any) -> None:
    id = cli("submit", "enhance_prompt", "prompt=a kite", "user_id=u1", "--json")["id"]
    assert "told no webhook anything" in cli("webhooks", "replay", id, exit_code=1)
    cli("cancel", id)
    [waiting] = cli("show", id, "--json")["webhooks"]["data"]
    assert (waiting["url"], waiting["type"], waiting["status"]) == (URL, "job.cancelled", "pending")
    assert "sent already" in cli("webhooks", "replay", id)
    cli("cancel", waiting["id"])
    [again] = cli("webhooks", "replay", id, "--json")["data"]
    assert (again["message_id"], again["status"]) == (waiting["message_id"], "pending")
    assert [line.rstrip() for line in cli("show", id).splitlines() if line.startswith("webhook")] == [
        f"webhook   {URL}: cancelled",
        f"webhook   {URL}: pending",
    ]
    assert [job["id"] for job in cli("jobs", "--json")] == [id]
