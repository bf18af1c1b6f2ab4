"""Each verb as what the API is asked, and what its answer says."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, Unpack
from uuid import UUID

import aiohttp
from pydantic import BaseModel

from jobrunner import shown
from jobrunner.declare import SubmitOptions, TaskSpec
from jobrunner.errors import JobrunnerError
from jobrunner.remote.answers import Accepted, Jobs, JobWithSteps, Logs, Tasks, read_as
from jobrunner.remote.batch import submit_all
from jobrunner.remote.bodies import keyed, query, submission
from jobrunner.remote.events import events
from jobrunner.remote.line import JSON, Ask, Line
from jobrunner.submitted import SubmittedJob
from jobrunner.verbs import PLAIN, Params, Submission, Task, Verbs, Wanted, Watched, waiting
from jobrunner.verbs.checked import BLOCK_BYTES, write_checked
from jobrunner.verbs.following import LogPage, read_on

M = TypeVar("M", bound=BaseModel)

WAITS_AT_ONCE = 900
"""So many answers are held open at a time; who waits beyond them takes turns."""

_HOLD_S = 60.0
"""How long the API is asked to hold an answer, which it does for no longer (`api/waits.py`)."""

_LINES = "1000"
"""Of a log, in one page."""

_TURN_S = 5.0
_PAUSE_S = 1.0
"""A server that shuts down holds no answer, and is asked no oftener than this."""


class Remote(Verbs):
    def __init__(self, line: Line) -> None:
        self._line = line
        self._turns = asyncio.Semaphore(WAITS_AT_ONCE)

    async def submit(self, task: Task, params: Params, options: SubmitOptions = PLAIN) -> SubmittedJob[Any]:
        asked = keyed(Submission(task, params, options))
        key = asked.options.idempotency_key
        if_lost = f"The job may be kept. Submit it again with idempotency_key={key!r}: that never makes two."
        ask = Ask("POST", "v1/jobs", body=submission(asked), headers=JSON, safe=True, if_lost=if_lost)
        return self._submitted(asked, await self._asked(ask, Accepted))

    async def submit_many(self, submissions: Sequence[Submission]) -> list[SubmittedJob[Any] | JobrunnerError]:
        asked = [keyed(each) for each in submissions]
        answers = await submit_all(self._line, asked)
        return [
            answer if isinstance(answer, JobrunnerError) else self._submitted(each, answer)
            for each, answer in zip(asked, answers, strict=True)
        ]

    def _submitted(self, asked: Submission, accepted: Accepted) -> SubmittedJob[Any]:
        return SubmittedJob(accepted.id, self, asked.task.result if isinstance(asked.task, TaskSpec) else None)

    async def get(self, job_id: UUID) -> shown.Job:
        return await self._asked(_job(job_id), shown.Job)

    async def wait(self, job_id: UUID, timeout_s: float | None = None) -> shown.Job:
        until = math.inf if timeout_s is None else time.monotonic() + timeout_s
        async with waiting(job_id, timeout_s):
            while True:
                async with self._turns:
                    began = time.monotonic()
                    hold_s = max(0.0, min(_TURN_S if self._turns.locked() else _HOLD_S, until - began))
                    job = await self._asked(_job(job_id, hold_s=hold_s), shown.Job)
                if job.status.terminal:
                    return job
                await asyncio.sleep(_PAUSE_S - (time.monotonic() - began))

    async def cancel(self, job_id: UUID) -> shown.Job:
        return await self._act(job_id, "cancel")

    async def retry(self, job_id: UUID) -> shown.Job:
        return await self._act(job_id, "retry")

    async def _act(self, job_id: UUID, verb: str) -> shown.Job:
        if_lost = "It may have been done: look how the job stands before you ask again."
        return await self._asked(Ask("POST", f"v1/jobs/{job_id}/{verb}", if_lost=if_lost), shown.Job)

    async def search(self, **wanted: Unpack[Wanted]) -> AsyncIterator[shown.Job]:
        cursor: str | None = ""
        while cursor is not None:
            asked = query(wanted) | ({"cursor": cursor} if cursor else {})
            page = await self._asked(Ask("GET", "v1/jobs", query=asked, safe=True), Jobs)
            for job in page.data:
                yield job
            cursor = page.next_cursor

    async def steps(self, job_id: UUID) -> list[shown.Step]:
        return (await self._asked(_job(job_id), JobWithSteps)).steps

    def logs(self, job_id: UUID, *, follow: bool = False) -> AsyncIterator[shown.LogLine]:
        async def page(cursor: str | None) -> LogPage[str]:
            asked = {"limit": _LINES} | ({"cursor": cursor} if cursor else {})
            found = await self._asked(Ask("GET", f"v1/jobs/{job_id}/logs", query=asked, safe=True), Logs)
            return LogPage(found.data, found.next_cursor, found.has_more)

        async def ended() -> bool:
            return (await self.get(job_id)).status.terminal

        return read_on(page, ended, follow=follow)

    def events(self, **wanted: Unpack[Watched]) -> AsyncIterator[shown.Event]:
        return events(self._line, query(wanted))

    async def artifacts(self, job_id: UUID) -> list[shown.Artifact]:
        return (await self.get(job_id)).artifacts

    async def upload(self, source: Path | bytes, *, user_id: str | None = None) -> shown.Artifact:
        ask = Ask(
            *("POST", "v1/artifacts"),
            query={} if user_id is None else {"user_id": user_id},
            body=source,
            headers={"Content-Type": "application/octet-stream"},
            longer_s=None,
            if_lost="The file may be kept; to send it again makes another artifact, and does no other harm.",
        )
        return await self._asked(ask, shown.Artifact)

    async def download(self, artifact: shown.Artifact, into: Path) -> Path:
        ask = Ask("GET", f"v1/artifacts/{artifact.id}", longer_s=None, safe=True)
        await self._line.read(ask, partial(_write, artifact=artifact, into=into))
        return into

    async def tasks(self) -> list[shown.Task]:
        return (await self._asked(Ask("GET", "v1/tasks", safe=True), Tasks)).data

    async def _asked(self, ask: Ask, model: type[M]) -> M:
        return read_as(model, await self._line.ask(ask))


def _job(job_id: UUID, *, hold_s: float = 0.0) -> Ask:
    """`hold_s`: how long the API may hold its answer while the job has not ended."""
    wait_s = math.ceil(hold_s)
    headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
    return Ask("GET", f"v1/jobs/{job_id}", headers=headers, longer_s=wait_s, safe=True)


async def _write(answer: aiohttp.ClientResponse, *, artifact: shown.Artifact, into: Path) -> None:
    await write_checked(answer.content.iter_chunked(BLOCK_BYTES), artifact, into)
