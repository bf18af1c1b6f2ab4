"""Cursors, waits and what a submission may say."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from aiohttp.test_utils import make_mocked_request

from jobrunner.api.shapes import Listing, Submission, read_cursor, validated, write_cursor
from jobrunner.api.waits import preferred_wait_s
from jobrunner.client.showing import step_json
from jobrunner.errors import InvalidRequest
from jobrunner.store.rows import Step
from jobrunner.work import Generated, Money, Plan

NOW = datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC)
ID = UUID("0198c5a4-5f4e-7cc3-8f5b-0d6f6a1f1f6e")


def test_a_cursor_keeps_every_microsecond() -> None:
    assert read_cursor(write_cursor(NOW, ID)) == (NOW, ID)


@pytest.mark.parametrize("cursor", ["", "x", "A" * 31, "A" * 36, "ä" * 32, "7" * 32, "+" * 32])
def test_a_bad_cursor_is_named(cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor") as refused:
        read_cursor(cursor)
    assert refused.value.errors[0]["path"] == "cursor"


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"status": "done"}, "status.0"),
        ({"stat": "failed"}, "stat"),
        ({"task": ""}, "task"),
    ],
)
def test_a_bad_query_is_named(query: dict[str, str], path: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validated(Listing, query)
    assert [each["path"] for each in refused.value.errors] == [path]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"task": 1}, "task"),
        ({"params": []}, "params"),
        ({"delay_s": -1}, "delay_s"),
        ({"delay_s": "1"}, "delay_s"),
        ({"delay_s": 1e12}, "delay_s"),
        ({"run_at": "2026-03-01T12:00:00"}, "run_at"),
        ({"run_at": "tomorrow"}, "run_at"),
        ({"retries": -1}, "retries"),
        ({"retries": 2.5}, "retries"),
        ({"retries": True}, "retries"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "k" * 256}, "idempotency_key"),
        ({"metadata": "x"}, "metadata"),
        ({"priority": 9}, "priority"),
    ],
)
def test_a_bad_submission_is_named(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validated(Submission, {"task": "t", "params": {}, **changes})
    assert [each["path"] for each in refused.value.errors] == [path]


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("wait=5", 5),
        ("wait = 5", 5),
        ('WAIT="5"', 5),
        ("respond-async, wait=10", 10),
        ("wait=3; foo=bar", 3),
        ("wait=61", 60),
        ("wait=999999999", 60),
        ("wait", 60),
        ("wait=0", 0),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("await=5", 0),
        ("wait=99999999999999", 0),
        ("", 0),
    ],
)
def test_the_wait_preference(prefer: str, expected: int) -> None:
    assert preferred_wait_s(make_mocked_request("GET", "/", headers={"Prefer": prefer})) == expected


def test_a_purchase_shows_its_cost_once_it_is_known() -> None:
    plan = Plan("runway", "gen4.5", "v1/image_to_video", {})
    bought = Generated((), None, {}, Money(Decimal("0.5"), "credits")).to_json()
    unpriced = Generated((), None, {}, None).to_json()
    steps = [
        Step(ID, "made", 1, "running", plan=plan),
        Step(ID, "made", 1, "done", plan=plan, result=bought),
        Step(ID, "made", 1, "done", plan=plan, result=unpriced),
        Step(ID, "save", 1, "done", result="kept"),
    ]
    assert [step_json(step)["cost"] for step in steps] == [None, {"amount": "0.5", "unit": "credits"}, None, None]
