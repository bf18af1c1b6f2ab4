"""What the queue holds, as whoever compares it reads it."""

from arq.connections import ArqRedis

from jobrunner.broker.queue import Queue, to_ms
from tests.integration.broker.conftest import HOLDS_MS, NAME, entry


async def test_entries_tell_what_waits_and_what_runs(queue: Queue, redis: ArqRedis) -> None:
    due, later = entry(), entry(due_in_s=60)
    await queue.push([due, later])
    await queue.claim(10, HOLDS_MS)
    await redis.zadd(NAME, {b"\xff": 5})
    held = {job_id: each async for page in queue.entries.pages() for job_id, each in page.items()}
    assert {job_id: each.running for job_id, each in held.items()} == {
        str(due.id): True,
        str(later.id): False,
        "\udcff": False,
    }
    assert held[str(later.id)].due_ms == to_ms(later.due_at)
    assert await queue.entries.of([str(later.id), "nobody", "\udcff"]) == {
        str(later.id): held[str(later.id)],
        "\udcff": held["\udcff"],
    }


async def test_a_long_queue_is_read_in_pages(queue: Queue) -> None:
    await queue.push([entry() for _ in range(2500)])
    pages = [page async for page in queue.entries.pages()]
    assert len(pages) > 1
    assert len({job_id for page in pages for job_id in page}) == 2500
