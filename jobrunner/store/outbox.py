"""Tells webhooks how jobs ended: each delivery is a job, inserted in the transaction in which the other one ends.

What a delivery says is fixed then: it goes out under one id and in the same words, however often it is tried.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Sequence
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from jobrunner.job import WEBHOOK_BACKOFF, WEBHOOK_MODULE, WEBHOOK_TASK, Job, job_json
from jobrunner.store.queries import query
from jobrunner.store.rows import Connection, NewJob, artifact_of, columns, jobs_made
from jobrunner.work import Artifact


class Outbox:
    """`default_urls` are told of every job that names no webhook of its own (`webhooks.urls`).

    `on_committed` hears, after their commit, of the deliveries that came into being with a transition.
    """

    def __init__(self, default_urls: Sequence[str]) -> None:
        self._default_urls = tuple(default_urls)
        self.on_committed: Callable[[list[Job]], None] = lambda _: None

    def urls(self, job: Job) -> tuple[str, ...]:
        """Who is to be told of this job's end. Nobody is told of a delivery's."""
        if job.module == WEBHOOK_MODULE:
            return ()
        return self._default_urls if job.webhook is None else (job.webhook,)

    async def fill(self, connection: Connection, jobs: Sequence[Job], *, but: Container[str] = ()) -> list[Job]:
        """Insert the deliveries that tell of those of `jobs` that have ended; none to the receivers `but`."""
        ended = [(job, url) for job in jobs if job.status.terminal for url in self.urls(job) if url not in but]
        if not ended:
            return []
        found = await connection.fetch(query("disabled_webhooks"), list({url for _, url in ended}))
        disabled = {row["url"] for row in found}
        told = [(job, url) for job, url in ended if url not in disabled]
        files = defaultdict[UUID | None, list[Artifact]](list)
        for row in await connection.fetch(query("artifacts_of"), list({job.id for job, _ in told})):
            files[row["job_id"]].append(artifact_of(row))
        return await self.insert(connection, [_delivery(job, url, files[job.id]) for job, url in told])

    async def insert(self, connection: Connection, deliveries: Sequence[NewJob]) -> list[Job]:
        if not deliveries:
            return []
        return jobs_made(deliveries, await connection.fetch(query("insert_jobs"), *columns(deliveries)))


def again(delivery: Job) -> NewJob:
    """A new attempt at what a delivery that has ended said: a receiver that knows its message's id may drop it."""
    return _new(delivery, orjson.dumps(delivery.params).decode())


def _delivery(job: Job, url: str, artifacts: Sequence[Artifact]) -> NewJob:
    """The job as the API shows it, but for its params: they may be large, and the receiver's side sent them."""
    shown = job_json(job, artifacts)
    del shown["params"]
    body = {"type": f"job.{job.status}", "timestamp": job.completed_at, "data": shown}
    params = {"job_id": job.id, "message_id": uuid7(), "url": url, "body": body}
    text = orjson.dumps(params, default=str, option=orjson.OPT_UTC_Z)  # str: asyncpg's UUID is a subclass
    return _new(job, text.decode())


def _new(like: Job, params: str) -> NewJob:
    return NewJob(
        id=uuid7(),
        task=WEBHOOK_TASK,
        module=WEBHOOK_MODULE,
        params=params,
        queue=like.queue,
        retries=len(WEBHOOK_BACKOFF.schedule_s),
        user_id=like.user_id,
    )
