"""Jobs over HTTP: submit, wait, download."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp

from jobrunner.demo.progress import Bars

USER = "demo"

_WAIT_S = 30
_ANSWER_S = 90.0
_ENDED = frozenset({"completed", "failed", "cancelled"})
_BLOCK_BYTES = 1 << 20

Job = Mapping[str, Any]
"""A job as the API shows it."""


class JobLost(Exception):
    """A job did not end well, or the API did not say how."""


class Jobs:
    """Runs jobs through the API at `session`'s base URL; `done` holds those that were completed, as they ended."""

    def __init__(self, session: aiohttp.ClientSession, bars: Bars) -> None:
        self._session = session
        self._bars = bars
        self.done: list[Job] = []

    async def run(self, task: str, **params: Any) -> Job:
        """One job to its end. Raises JobLost."""
        self._bars.submitted(task)
        job = await self._ask(task, "POST", "/v1/jobs", json={"task": task, "params": {"user_id": USER, **params}})
        while job.get("status") not in _ENDED:
            job = await self._ask(task, "GET", f"/v1/jobs/{job['id']}", headers={"Prefer": f"wait={_WAIT_S}"})
        if job["status"] != "completed":
            raise JobLost(f"{task} {job['id']} {job['status']}: {(job['error'] or {}).get('message')}")
        self.done.append(job)
        self._bars.completed(task)
        return job

    async def download(self, job: Job, to: Path) -> None:
        """The job's first file. Raises JobLost, OSError."""
        try:
            async with self._session.get(job["artifacts"][0]["url"], raise_for_status=True) as response:
                with to.open("wb") as file:
                    async for block in response.content.iter_chunked(_BLOCK_BYTES):
                        file.write(block)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise JobLost(f"{to.name} cannot be downloaded: {error or type(error).__name__}") from error

    async def _ask(self, task: str, method: str, path: str, **request: Any) -> Job:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        try:
            async with self._session.request(method, path, timeout=timeout, **request) as response:
                body: Job = await response.json(content_type=None)
                if not response.ok:
                    raise JobLost(f"{task} was refused: {response.status} {body.get('detail')}")
                return body
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise JobLost(f"{task}: the API gave no answer: {error or type(error).__name__}") from error


def most_at_once(jobs: Sequence[Job]) -> int:
    """How many of the jobs ran at the busiest moment; one that ends as another begins is over."""
    edges = sorted(
        (datetime.fromisoformat(job[field]), step)
        for job in jobs
        for field, step in (("started_at", 1), ("completed_at", -1))
    )
    most = running = 0
    for _, step in edges:
        running += step
        most = max(most, running)
    return most
