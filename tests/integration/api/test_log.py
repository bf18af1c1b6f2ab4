"""The log of a server and its worker: every line names its request, or its job and attempt."""

import logging
from uuid import UUID

import aiohttp
import pytest
import structlog

from jobrunner.client import Client
from jobrunner.declare import TaskContext, task
from jobrunner.errors import Retry
from jobrunner.runtime import Runtime
from tests.integration.api.conftest import Painted, Stroke, problem, submit, working
from tests.logged import logged


@task(module="image")
async def say(ctx: TaskContext, params: Stroke) -> Painted:
    """Says which attempt it is, in two ways."""
    logging.getLogger("my_task").warning("a warning of attempt %d", ctx.job.fence)
    structlog.get_logger().info(f"a line of attempt {ctx.job.fence}")
    if ctx.job.fence == 1:
        raise Retry
    return Painted(colour=params.colour)


async def test_a_job_is_followed_from_its_request_through_its_attempts(
    runtime: Runtime, http: aiohttp.ClientSession
) -> None:
    http.headers["X-Request-Id"] = "r-17"
    with logged() as log:
        async with working(runtime):
            job_id = await submit(http, task="say")
            await runtime.client.wait(UUID(job_id), 20)
    submitted = log.line("job.submitted")
    assert (submitted["job_id"], submitted["by"]) == (job_id, {"request_id": "r-17"})
    assert "attempt" not in submitted
    for attempt in (1, 2):
        for words in (f"a warning of attempt {attempt}", f"a line of attempt {attempt}"):
            line = log.line(words)
            assert (line["job_id"], line["task"], line["attempt"]) == (job_id, "say", attempt)


async def test_what_fails_in_a_request_names_it_and_the_next_one_on_its_connection_another(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def search(*_: object) -> None:
        logging.getLogger("library").warning("breaks")
        raise KeyError

    monkeypatch.setattr(Client, "search", search)
    with logged() as log:
        for name in ("r-1", "r-2"):
            async with http.get("/v1/jobs", headers={"X-Request-Id": name}) as answer:
                await problem(answer, 500, "internal_error")
        logging.getLogger("library").warning("in nobody's name")
    told = [(line.get("message", line["event"]), line.get("request_id")) for line in log.lines()]
    assert told == [
        *(("breaks", "r-1"), ("api.error", "r-1"), ("breaks", "r-2"), ("api.error", "r-2")),
        ("in nobody's name", None),
    ]
