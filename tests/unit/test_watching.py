"""Which changes are told to who watches many jobs."""

from typing import Any

import pytest

from jobrunner.client.watching import Watched
from jobrunner.errors import InvalidRequest
from jobrunner.job import Status

DELIVERY = {"task": "deliver_webhook", "module": "webhook", "user_id": "u1"}
SAID = {"task": "draw", "module": "image", "user_id": "u1", "status": "failed"}


@pytest.mark.parametrize(
    ("wanted", "kind", "said", "holds"),
    [
        ({}, "status", SAID, True),
        ({"status": (Status.FAILED, Status.COMPLETED)}, "status", SAID, True),
        ({"status": (Status.IN_PROGRESS,)}, "status", SAID, False),
        ({"status": (Status.IN_PROGRESS,)}, "progress", {"task": "draw", "module": "image"}, True),
        ({"kind": ("progress",)}, "status", SAID, False),
        ({"user_id": "u1", "task": "draw", "module": "image"}, "status", SAID, True),
        ({"user_id": "u2"}, "status", SAID, False),
        ({"user_id": "u1"}, "log", {"module": "image", "user_id": None}, False),
        ({"task": "draw"}, "log", {"module": "image", "task": ["forged"]}, False),
        ({}, "status", DELIVERY, False),
        ({"module": "webhook"}, "status", DELIVERY, True),
    ],
)
def test_a_change_is_told_where_it_fits_all_that_is_asked(
    wanted: dict[str, Any], kind: str, said: dict[str, Any], holds: bool
) -> None:
    assert Watched(**wanted).holds(kind, said) == holds


def test_a_kind_that_there_is_not_is_refused_in_words() -> None:
    with pytest.raises(InvalidRequest, match="there is no logs; there are status, progress, step, preview, log"):
        Watched(kind=("logs",))
