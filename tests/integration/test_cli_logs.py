"""`jobrunner logs`: what a job's task said, for people and for machines."""

import json
import time
from typing import Any
from uuid import UUID

from click.testing import CliRunner
from uuid_utils.compat import uuid7

from jobrunner.cli import main
from jobrunner.runtime import opened
from jobrunner.settings import Settings
from jobrunner.store.logs import Said
from jobrunner.store.rows import NewJob
from tests.conftest import apart


def cli(*words: str) -> Any:
    result = CliRunner().invoke(main, ["logs", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


async def cancelled_job(settings: Settings, *lines: tuple[Any, str, str]) -> UUID:
    """One that logged these (level, message, fields) before it was cancelled."""
    async with opened(settings) as runtime:
        job = NewJob(uuid7(), "draw", "image", "{}", "arq:queue", retries=3)
        await runtime.store.insert([job])
        said = [Said(job.id, 0, number + 1, time.monotonic(), *line) for number, line in enumerate(lines)]
        await runtime.store.logs.append(said)
        await runtime.client.cancel(job.id)
        return job.id


def test_a_log_is_shown_line_by_line_to_people_and_as_json(settings: Settings) -> None:
    hostile = "[bold]\x1b[31mred\n"
    id = apart(cancelled_job(settings, ("info", "drew a line", '{"width":3}'), ("error", hostile, '{"who":"me"}')))
    first, second = cli(str(id), "--follow").splitlines()
    assert first.endswith(" #0 info    drew a line  width=3")
    assert second.endswith(" #0 error   [bold]\\x1b[31mred\\n  who=me")
    lines = [json.loads(line) for line in cli(str(id), "--json").splitlines()]
    assert [(line["level"], line["message"], line["fields"]) for line in lines] == [
        ("info", "drew a line", {"width": 3}),
        ("error", hostile, {"who": "me"}),
    ]
