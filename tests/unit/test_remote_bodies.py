"""What a client of the API sends: submissions as JSON, many in few bodies."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from jobrunner.declare import SubmitOptions
from jobrunner.errors import InvalidParams
from jobrunner.job import Status
from jobrunner.remote import bodies
from jobrunner.remote.bodies import batches, keyed, query, submission
from jobrunner.verbs import Submission

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (SubmitOptions(), {}),
        (SubmitOptions(delay=timedelta(minutes=1), retries=0), {"delay_s": 60.0, "retries": 0}),
        (SubmitOptions(run_at=NOON, record_id="r"), {"run_at": "2026-01-02T12:00:00+00:00", "record_id": "r"}),
        (SubmitOptions(webhook="https://a.example", metadata={}), {"webhook": "https://a.example", "metadata": {}}),
    ],
)
def test_what_was_not_said_is_not_sent(options: SubmitOptions, said: dict[str, Any]) -> None:
    sent = orjson.loads(submission(Submission("draw", {"n": 1}, options)))
    assert sent == {"task": "draw", "params": {"n": 1}, **said}


def test_each_submission_gets_a_key_of_its_own_unless_it_has_one() -> None:
    asked = Submission("draw", {})
    assert keyed(asked).options.idempotency_key != keyed(asked).options.idempotency_key
    own = Submission("draw", {}, SubmitOptions(idempotency_key="mine"))
    assert keyed(own) is own


def test_what_is_no_json_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidParams, match="draw: params and metadata must be plain JSON"):
        submission(Submission("draw", {"n": object()}))


def test_batches_are_bounded_in_jobs_and_bytes_and_lose_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_BATCH_JOBS", 3)
    monkeypatch.setattr(bodies, "_BATCH_BYTES", 20)
    sizes = [1, 1, 1, 1, 15, 15, 30, 1]
    made = list(batches({place: b"9" * size for place, size in enumerate(sizes)}))
    assert [places for places, _ in made] == [[0, 1, 2], [3, 4], [5], [6], [7]]
    assert orjson.loads(made[1][1]) == {"jobs": [9, int("9" * 15)]}
    assert not list(batches({}))


def test_a_search_is_a_query_as_the_api_reads_it() -> None:
    assert query(
        {"status": (Status.FAILED, Status.CANCELLED), "task": "draw", "created_after": NOON, "metadata": {"n": 1}}
    ) == {
        "status": "failed,cancelled",
        "task": "draw",
        "created_after": "2026-01-02T12:00:00+00:00",
        "metadata": '{"n":1}',
    }
