"""What waits to be written into a job's log: bounded, clean, and honest about what is missing."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from jobrunner import redaction
from jobrunner.broker.changes import logged, tellings
from jobrunner.job import Job, Status
from jobrunner.redaction import STARS, keep_secret
from jobrunner.worker.journal import WAITING, Log

NOW = datetime(2026, 11, 23, tzinfo=UTC)
JOB = Job(
    *(UUID(int=7), "draw", "image", Status.IN_PROGRESS, {}, "arq:queue", NOW, NOW, NOW),
    retries=3,
    fence=2,
    failures=0,
    crashes=0,
)


def filled(lines: int) -> Log:
    log = Log(JOB)
    for number in range(lines):
        log.say("info", f"line {number + 1}", {})
    return log


def fields_of(**fields: Any) -> Any:
    log = Log(JOB)
    log.say("info", "x", fields)
    return json.loads(log.take(1)[0].fields)


def test_of_too_many_lines_the_newest_wait_and_the_log_says_what_is_missing() -> None:
    log = filled(WAITING + 1234)
    notice, first, *_, last = log.take(WAITING)
    assert (notice.level, notice.number, notice.message.split(":")[0]) == (
        "warning",
        1234,
        "1,234 lines are left out here",
    )
    assert (first.number, last.number) == (1235, WAITING + 1234)
    log.say("info", "later", {})
    assert [line.message for line in log.take(WAITING)] == ["later"], "it is said once"


def test_lines_that_could_not_be_written_wait_on_in_their_order() -> None:
    log = filled(3)
    for line in reversed(log.take(2)):
        log.put_back(line)
    assert [line.number for line in log.take(9)] == [1, 2, 3]


def test_a_message_holds_no_secret_and_nothing_that_postgres_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setattr(redaction, "_pattern", redaction._pattern)
    keep_secret(["hunter2-hunter2"])
    log = Log(JOB)
    log.say("error", "key hunter2-hunter2 \0\ud800" + "x" * 10_000, {"key": "is hunter2-hunter2"})
    [line] = log.take(1)
    assert line.message.startswith(f"key {STARS} \ufffd?xxx")
    assert len(line.message) == 2000
    assert json.loads(line.fields) == {"key": f"is {STARS}"}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"deep": [1, 2.5, None, True]}, {"deep": [1, 2.5, None, True]}),
        (NOW, "2026-11-23T00:00:00+00:00"),
        ("a\0b", "a\ufffdb"),
        ("a\\u0000b", "a\\u0000b"),
        (ValueError("broke"), "broke"),
        (2**70, str(2**70)),
        ("\ud800", "'\\ud800'"),
        (float("nan"), None),
    ],
)
def test_fields_are_kept_as_json_whatever_they_are(value: object, kept: object) -> None:
    assert fields_of(it=value) == {"it": kept}


def test_fields_that_are_too_long_are_cut() -> None:
    assert fields_of(it="x" * 10_000) == {"cut": '{"it":"' + "x" * 1993}


def test_an_unknown_level_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="no log level 'warn'; use one of debug, info, warning, error"):
        Log(JOB).say("warn", "x", {})  # type: ignore[arg-type]  # what a task may get wrong


# ---- what is told of them live -----------------------------------------------------------------


def told(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    said = logged(JOB, lines)._replace(at=(1, 1)).read()
    assert said is not None
    return [dict(each) for each in tellings("log", said)]


def line(message: str, **fields: Any) -> dict[str, Any]:
    return {"at": NOW, "attempt": 2, "level": "info", "message": message, "fields": fields}


def test_each_line_is_told_with_whose_it_is() -> None:
    first, second = told([line("one", n=1), line("two")])
    assert (first["id"], first["task"], first["message"], first["fields"]) == (str(JOB.id), "draw", "one", {"n": 1})
    assert (second["message"], second["at"], second["attempt"]) == ("two", "2026-11-23T00:00:00Z", 2)


def test_of_many_lines_the_newest_are_told_and_how_many_are_not() -> None:
    lines = [line(f"line {number} " + "x" * 1000, long="y" * 1000) for number in range(100)]
    notice, *newest = told(lines)
    assert notice["message"] == f"{100 - len(newest)} lines are left out here; the job's log has them."
    assert newest[-1]["message"].startswith("line 99 xxx")
    assert (len(newest[-1]["message"]), newest[-1]["fields"]) == (500, {})
    assert len(json.dumps(newest)) < 10_000
