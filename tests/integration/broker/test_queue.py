"""arq's own keys: what its tools read is true, and what anyone else wrote there does no harm."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import orjson
import pytest
from arq.connections import ArqRedis
from arq.jobs import Job as ArqJob
from arq.jobs import JobStatus

from jobrunner.broker.queue import WAKE_CAP, Entry, Queue, deserialize, now_ms, to_ms
from jobrunner.errors import ConfigError, JobFailed, Unavailable
from jobrunner.job import Status
from tests.integration.broker.conftest import HOLDS_MS, NAME, ended, entry

WAKE = f"jobrunner:wake:{NAME}"
SOON_S = 5.0


def arq_job(redis: ArqRedis, id: UUID) -> "ArqJob":
    return ArqJob(str(id), redis, _deserializer=deserialize)


async def score(redis: ArqRedis, id: UUID) -> float:
    found = await redis.zscore(NAME, str(id))
    assert found is not None
    return float(found)


# ---- arq's shape -------------------------------------------------------------------------------


async def test_an_entry_stands_under_arqs_keys_without_its_params(queue: Queue, redis: ArqRedis) -> None:
    pushed = entry(due_in_s=30)
    await queue.push([pushed])
    assert await score(redis, pushed.id) == to_ms(pushed.due_at)
    raw = await redis.get(f"arq:job:{pushed.id}")
    payload = orjson.loads(raw)
    assert payload.pop("et") == pytest.approx(now_ms(), abs=5000)
    assert payload == {"t": None, "f": "draw", "a": [str(pushed.id)], "k": {}}


async def test_arqs_own_job_follows_ours_from_end_to_end(queue: Queue, redis: ArqRedis) -> None:
    due, later = entry(), entry(due_in_s=60)
    seen, deferred = arq_job(redis, due.id), arq_job(redis, later.id)
    assert await seen.status() is JobStatus.not_found
    await queue.push([due, later])
    assert await deferred.status() is JobStatus.deferred
    info = await seen.info()
    assert info is not None
    assert (info.function, list(info.args), str(info.enqueue_time.tzinfo)) == ("draw", [str(due.id)], "UTC")
    claimed = await queue.claim(10, HOLDS_MS)
    assert claimed.ids == [str(due.id)]
    assert await seen.status() is JobStatus.in_progress
    await queue.finish([ended(due.id, result={"url": "/u"})])
    assert await seen.status() is JobStatus.complete
    assert await seen.result(timeout=SOON_S) == {"url": "/u"}
    result = await seen.result_info()
    assert result is not None
    assert (result.success, result.job_try, result.queue_name) == (True, 2, NAME)
    assert result.start_time < result.finish_time <= datetime.now(UTC)
    assert await redis.zrange(NAME, 0, -1) == [str(later.id).encode()]


async def test_arq_raises_a_failed_jobs_own_error(queue: Queue, redis: ArqRedis) -> None:
    failed = ended(uuid4(), Status.FAILED, error={"code": "content_policy", "message": "no such pictures"})
    await queue.finish([failed])
    with pytest.raises(JobFailed, match="no such pictures") as caught:
        await arq_job(redis, failed.id).result(timeout=SOON_S)
    assert caught.value.code == "content_policy"


async def test_only_again_overrides_a_hold_and_an_old_result(queue: Queue, redis: ArqRedis) -> None:
    pushed = entry()
    await queue.push([pushed])
    await queue.claim(1, HOLDS_MS)
    held = await score(redis, pushed.id)
    await queue.push([pushed])
    assert await score(redis, pushed.id) == held
    await queue.finish([ended(pushed.id)])
    await queue.push([pushed], again=True)
    assert await score(redis, pushed.id) == to_ms(pushed.due_at)
    assert await arq_job(redis, pushed.id).status() is JobStatus.queued


# ---- claiming ----------------------------------------------------------------------------------


async def test_a_claim_holds_each_id_for_its_own_tasks_time(queue: Queue, redis: ArqRedis) -> None:
    entries = [entry(task="draw"), entry(task="film"), entry(task="unknown here")]
    await queue.push(entries)
    before = now_ms()
    await queue.claim(10, HOLDS_MS)
    holds = [await score(redis, each.id) - before for each in entries]
    lasting = [await redis.pttl(f"arq:in-progress:{each.id}") for each in entries]
    assert holds == pytest.approx([60_000, 600_000, 600_000], abs=5000)
    assert lasting == pytest.approx(holds, abs=5000)
    assert (await queue.claim(10, HOLDS_MS)).ids == []


async def test_a_claim_says_when_the_next_id_is_due(queue: Queue) -> None:
    assert (await queue.claim(1, HOLDS_MS)).next_due_s is None
    await queue.push([entry(due_in_s=20)])
    assert (await queue.claim(1, HOLDS_MS)).next_due_s == pytest.approx(20, abs=1)


async def test_many_claims_at_once_share_nothing(queue: Queue) -> None:
    entries = [entry() for _ in range(100)]
    await queue.push(entries)
    shares = await asyncio.gather(*(queue.claim(15, HOLDS_MS) for _ in range(8)))
    assert sorted(id for share in shares for id in share.ids) == sorted(str(each.id) for each in entries)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x80\x04pickle", b"[" * 2000, b"null", b'{"f": {"a": 1}}', b'{"f": ""}', ["a", "list"], None],
)
async def test_a_foreign_payload_does_not_break_a_claim(payload: Any, queue: Queue, redis: ArqRedis) -> None:
    foreign, ours = uuid4(), entry()
    await redis.zadd(NAME, {str(foreign): 1})
    if isinstance(payload, list):
        await cast("Any", redis).rpush(f"arq:job:{foreign}", *payload)
    elif payload is not None:
        await redis.set(f"arq:job:{foreign}", payload)
    await queue.push([ours])
    assert (await queue.claim(10, HOLDS_MS)).ids == [str(foreign), str(ours.id)]


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"../../etc", "ü".encode()])
async def test_a_foreign_id_can_be_claimed_and_dropped(raw: bytes, queue: Queue, redis: ArqRedis) -> None:
    await redis.zadd(NAME, {raw: 1})
    claimed = await queue.claim(10, HOLDS_MS)
    await queue.drop(claimed.ids)
    assert await redis.keys("arq:*") == []


# ---- waking ------------------------------------------------------------------------------------


async def test_a_sleeper_wakes_upon_a_push(queue: Queue) -> None:
    sleeping = asyncio.create_task(queue.wait(60))
    await queue.push([entry()])
    async with asyncio.timeout(SOON_S):
        assert await sleeping is not None


async def test_a_sleeper_wakes_by_itself_when_its_time_is_over(queue: Queue) -> None:
    assert await queue.wait(0.01) is None


async def waking(redis: ArqRedis) -> list[bytes]:
    return list(await cast("Any", redis).lrange(WAKE, 0, -1))


async def test_a_claim_that_leaves_something_due_wakes_the_next_worker(queue: Queue, redis: ArqRedis) -> None:
    await queue.push([entry(), entry()])
    await redis.delete(WAKE)
    await queue.claim(1, HOLDS_MS)
    assert await waking(redis) == [b""]


async def test_a_wake_names_a_job_that_is_due(queue: Queue) -> None:
    first, later = entry(), entry(due_in_s=3600)
    await queue.push([first, later])
    assert await queue.wait(SOON_S) == str(first.id)
    await queue.push([later])
    assert await queue.wait(SOON_S) == ""


async def test_wakes_that_nobody_waited_for_end_when_nothing_is_due(queue: Queue, redis: ArqRedis) -> None:
    await queue.push([entry()])
    await queue.claim(1, HOLDS_MS)
    assert len(await waking(redis)) == 1
    await queue.claim(1, HOLDS_MS)
    assert await waking(redis) == []


async def test_wakes_do_not_pile_up_where_nobody_waits(queue: Queue, redis: ArqRedis) -> None:
    for _ in range(WAKE_CAP + 1):
        await queue.push([entry()])
    assert len(await waking(redis)) == WAKE_CAP


# ---- a wake comes before its entry -------------------------------------------------------------


async def wake_first(redis: ArqRedis, coming: Entry) -> None:
    """As a push does whose process stands still in the middle."""
    await cast("Any", redis).lpush(WAKE, str(coming.id))


async def test_a_claim_that_takes_a_wake_away_takes_its_job_too(queue: Queue, redis: ArqRedis) -> None:
    coming, another = entry(), entry()
    for each in (coming, another):
        await wake_first(redis, each)
    claims = [(await queue.claim(5, HOLDS_MS)).ids for _ in range(3)]
    assert claims == [[str(another.id)], [str(coming.id)], []]


async def test_a_job_that_was_taken_by_its_wake_is_offered_to_nobody_else(queue: Queue, redis: ArqRedis) -> None:
    coming = entry()
    assert (await queue.claim(5, HOLDS_MS, ahead=coming.id)).ids == []
    await queue.push([coming])
    assert (await queue.claim(5, HOLDS_MS)).ids == []
    assert await arq_job(redis, coming.id).status() is JobStatus.in_progress
    await queue.finish([ended(coming.id)])
    assert await arq_job(redis, coming.id).status() is JobStatus.complete


async def test_a_job_that_ended_before_it_was_entered_leaves_nothing(queue: Queue, redis: ArqRedis) -> None:
    coming = entry()
    await wake_first(redis, coming)
    await queue.finish([ended(coming.id)])
    await queue.push([coming])
    assert (await queue.claim(5, HOLDS_MS, ahead=coming.id)).ids == []
    assert await redis.keys("arq:*") == [f"arq:result:{coming.id}".encode()]


async def test_a_job_that_was_taken_by_its_wake_and_waits_again_is_not_held(queue: Queue, redis: ArqRedis) -> None:
    later = entry(due_in_s=30)
    await queue.push([later], again=True)
    await queue.claim(5, HOLDS_MS, ahead=later.id)
    assert await score(redis, later.id) == to_ms(later.due_at)


# ---- what upkeep asks --------------------------------------------------------------------------


async def test_a_hold_shows_a_job_as_running_and_scores_tell_what_is_missing(queue: Queue, redis: ArqRedis) -> None:
    running, missing, until = uuid4(), uuid4(), now_ms() + 60_000
    await queue.hold({str(running): until})
    assert await queue.scores([str(running), str(missing)]) == [until, None]
    assert await arq_job(redis, running).status() is JobStatus.in_progress


async def test_the_epoch_changes_when_redis_is_flushed(queue: Queue, redis: ArqRedis) -> None:
    before = await queue.epoch()
    assert await queue.epoch() == before
    await asyncio.sleep(0.002)  # the marker is a time in ms
    await redis.flushdb()
    assert await queue.epoch() != before


async def test_one_process_at_a_time_gets_a_turn(queue: Queue) -> None:
    turns = await asyncio.gather(*(queue.turn("sweep", 60) for _ in range(5)))
    assert sorted(turns) == [False] * 4 + [True]


async def test_a_redis_that_may_evict_is_refused(queue: Queue, redis: ArqRedis) -> None:
    await queue.check()
    await redis.config_set("maxmemory-policy", "volatile-lru")
    try:
        with pytest.raises(ConfigError, match="volatile-lru"):
            await queue.check()
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")


async def test_a_redis_that_is_away_is_unavailable() -> None:
    away = Queue("unix:///nonexistent/redis.sock", name=NAME)
    calls = (away.check(), away.push([entry()]), away.claim(1, HOLDS_MS), away.wait(0.1), away.epoch(), away.depth())
    results = await asyncio.gather(*calls, return_exceptions=True)
    await away.aclose()
    assert [type(result) for result in results] == [Unavailable] * len(calls)
