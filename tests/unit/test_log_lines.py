"""Lines of the log: each says whose it is, whoever writes it."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from jobrunner.batch import Batcher
from jobrunner.events import about, emit
from tests.logged import Log, logged

JOB = {"job_id": "j1", "task": "paint", "attempt": 2}


@pytest.fixture
def log() -> Iterator[Log]:
    with logged() as log:
        yield log


def ids(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in (*JOB, "request_id") if name in line}


async def test_what_is_said_within_a_job_names_it_in_its_threads_too(log: Log) -> None:
    async def run() -> None:
        about.set(JOB)
        emit("an event", colour="red")
        logging.getLogger("library").warning("a warning")
        structlog.get_logger().info("a task's own line")
        await asyncio.to_thread(logging.getLogger("library").warning, "from a thread")

    await asyncio.create_task(run())
    emit("of nobody")
    assert log.line("an event")["colour"] == "red"
    for name in ("an event", "a warning", "a task's own line", "from a thread"):
        assert ids(log.line(name)) == JOB, name
    assert ids(log.line("of nobody")) == {}


async def test_a_line_s_own_word_outweighs(log: Log) -> None:
    about.set(JOB)
    emit("of another", job_id="j2")
    assert ids(log.line("of another")) == {**JOB, "job_id": "j2"}


async def test_a_batch_is_of_nobody_though_the_first_of_it_started_it(log: Log) -> None:
    async def flush(items: list[int]) -> list[int]:
        emit("flushed", items=len(items))
        return items

    batches: Batcher[int, int] = Batcher(flush)
    about.set(JOB)
    await batches.add(1)
    assert ids(log.line("flushed")) == {}


def test_what_tasks_say_below_the_level_is_not_written_and_the_rest_obeys_no_terminal_code(log: Log) -> None:
    structlog.get_logger().debug("small")
    structlog.get_logger().info("grand", key="\x1b[2J")
    [line] = log.lines()
    assert (line["event"], line["key"]) == ("grand", "\\x1b[2J")
