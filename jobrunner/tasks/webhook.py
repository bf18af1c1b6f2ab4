"""Telling a webhook how a job ended. Delivery is a job: retried for days, shown, cancelled and retried like any other.

Its rows are inserted by the store with the end that they tell of; nobody submits this task.
"""

import random
from datetime import timedelta
from typing import Any, Protocol, cast
from uuid import UUID

import orjson
from pydantic import BaseModel

from jobrunner.declare import TaskContext, task
from jobrunner.errors import Retry, SoftTimeout, TransientError
from jobrunner.job import WEBHOOK_BACKOFF, WEBHOOK_MODULE, WEBHOOK_TASK


class Messenger(Protocol):
    """What the worker's context can do beside what every task may: speak in the operator's name."""

    async def send_webhook(self, url: str, message_id: str, body: bytes) -> int:
        """POST `body`, JSON, signed as Standard Webhooks has it; the 2xx status that `url` answered.

        Raises PutOff, Retry, TransientError or PermanentError, as the receiver's answer was.
        """


class Delivery(BaseModel):
    """`message_id` never changes, so that a receiver knows what it has had; `job_id` is whose end it tells."""

    job_id: UUID
    message_id: UUID
    url: str
    body: dict[str, Any]


class Delivered(BaseModel):
    """`status`: the HTTP status that the receiver answered with."""

    status: int


@task(
    module=WEBHOOK_MODULE,
    name=WEBHOOK_TASK,
    timeout=timedelta(minutes=30),
    retries=len(WEBHOOK_BACKOFF.schedule_s),
    backoff=WEBHOOK_BACKOFF,
)
async def deliver_webhook(ctx: TaskContext, params: Delivery) -> Delivered:
    """Tell a webhook how a job ended."""
    send = cast("Messenger", ctx).send_webhook
    try:
        return Delivered(status=await send(params.url, str(params.message_id), orjson.dumps(params.body)))
    except Retry as asked:  # the receiver named a time: later than planned is its right, sooner would use up the tries
        planned_s = WEBHOOK_BACKOFF.delay_s(ctx.job.failures + 1, random.random())  # noqa: S311  # spreads a crowd
        raise Retry(str(asked), after=max(asked.after_s, planned_s)) from None
    except SoftTimeout:  # Postgres was away: an outage of ours is no reason to give up
        raise TransientError("There was no telling whether this worker might still send.") from None
