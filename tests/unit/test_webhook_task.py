"""The delivery's own decisions: for how long it is tried, and whose word on the time counts."""

from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from jobrunner.declare import TaskContext
from jobrunner.errors import PutOff, Retry, SoftTimeout, TransientError
from jobrunner.job import WEBHOOK_BACKOFF, Job, Raised, Status, decide
from jobrunner.tasks.webhook import Delivered, Delivery, deliver_webhook

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HOUR_S = 3600
DELIVERY = Delivery(job_id=UUID(int=1), message_id=UUID(int=2), url="https://example.com", body={"b": 1, "a": None})


def job(failures: int = 0) -> Job:
    return Job(
        *(UUID(int=3), "deliver_webhook", "webhook", Status.IN_PROGRESS, {}, "q", NOW, NOW, NOW),
        retries=deliver_webhook.retries,
        fence=failures + 1,
        failures=failures,
        crashes=0,
    )


class Context:
    def __init__(self, answer: int | BaseException, failures: int = 0) -> None:
        self.job = job(failures)
        self.sent: list[tuple[str, str, bytes]] = []
        self._answer = answer

    async def send_webhook(self, url: str, message_id: str, body: bytes) -> int:
        self.sent.append((url, message_id, body))
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


async def deliver(context: Context) -> Any:
    return await deliver_webhook(cast("TaskContext", context), DELIVERY)


async def test_what_is_sent_is_the_same_bytes_each_time() -> None:
    context = Context(204)
    assert await deliver(context) == Delivered(status=204)
    assert await deliver(context) == Delivered(status=204)
    assert context.sent == [("https://example.com", str(UUID(int=2)), b'{"b":1,"a":null}')] * 2


@pytest.mark.parametrize(("failures", "planned_s"), [(0, 5), (2, HOUR_S / 2)])
async def test_a_later_time_that_was_asked_for_is_kept_and_a_sooner_one_is_not(failures: int, planned_s: float) -> None:
    for asked_s in (1.0, 10 * HOUR_S):
        with pytest.raises(Retry, match="asks to wait") as error:
            await deliver(Context(Retry("The webhook asks to wait", after=asked_s), failures))
        assert max(asked_s, planned_s / 2) <= error.value.after_s <= max(asked_s, planned_s)


async def test_an_outage_of_ours_does_not_end_a_delivery() -> None:
    with pytest.raises(TransientError):
        await deliver(Context(SoftTimeout()))


def test_a_receiver_that_is_down_is_tried_for_about_three_days() -> None:
    waits = [
        decide(job(failures), Raised(TransientError("down")), backoff=WEBHOOK_BACKOFF, jitter=0.5)
        for failures in range(deliver_webhook.retries + 1)
    ]
    assert [each.status for each in waits] == [Status.PENDING] * deliver_webhook.retries + [Status.FAILED]
    assert 70 * HOUR_S < sum(each.delay_s for each in waits) < 80 * HOUR_S
    assert waits[0].delay_s < 5


def test_waiting_ones_turn_leaves_no_trace() -> None:
    after = decide(job(3), Raised(PutOff("busy", delay_s=42.0)), backoff=WEBHOOK_BACKOFF)
    assert (after.status, after.failures, after.error, after.delay_s) == (Status.PENDING, 3, None, 42.0)
