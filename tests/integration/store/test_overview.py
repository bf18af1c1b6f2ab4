"""How things stand, from rows: what was counted, what is open and why it waits, and who works."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import asyncpg

from jobrunner.job import Status
from jobrunner.store.minutes import Tally, Written
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Step, StepWrite
from jobrunner.work import Handle, Plan
from tests.integration.store.conftest import QUEUE, claimed, end, held, inserted, new, worker

LIMITED = {"code": "rate_limited", "message": "Later.", "retryable": True, "provider": "easel"}


def minute(ago: float, kept: Tally) -> Written:
    moment = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=ago)
    return Written(moment, "provider", "easel", kept)


async def test_what_processes_counted_adds_up_however_often_it_is_written(store: Store) -> None:
    said = Tally(Counter(calls=2), {"usd": Decimal("0.1")}, Counter({8: 2}))
    for process in (UUID(int=1), UUID(int=2), UUID(int=2)):
        await store.minutes.save(process, [minute(1, said)])
    said.counts["calls"] = 3
    await store.minutes.save(UUID(int=1), [minute(1, said)])
    [tally] = (await store.minutes.last_hour())["provider", "easel"].values()
    assert (tally.counts["calls"], tally.spent, tally.seconds) == (5, {"usd": Decimal("0.2")}, {8: 4})


async def test_an_hour_is_an_hour_and_a_clock_that_is_ahead_counts_as_now(store: Store) -> None:
    minutes = [minute(ago, Tally(Counter(calls=1))) for ago in (-1, 30, 62)]
    await store.minutes.save(uuid4(), minutes)
    hour = (await store.minutes.last_hour())["provider", "easel"]
    assert min(hour) == 0
    assert len(hour) == 2


async def test_what_is_open_is_told_with_the_provider_at_which_it_failed(store: Store) -> None:
    me = await worker(store)
    limited, put_off, _ = [await held(store, me) for _ in range(3)]
    await store.finish(me, [end(limited, Status.PENDING, error=LIMITED, delay_s=60.0)])
    await store.finish(me, [end(put_off, Status.PENDING, delay_s=60.0)])
    [due, _] = await inserted(store, new(), new(delay_s=60.0))
    rows = {row.provider: row for row in (await store.overview.of_all()).open}
    assert {(row.queue, row.task, row.module) for row in rows.values()} == {(QUEUE, "draw", "image")}
    assert {
        name: (row.pending, row.due, row.due_since, row.put_off, row.in_progress) for name, row in rows.items()
    } == {
        "easel": (1, 0, None, 0, 0),
        None: (3, 1, due.due_at, 1, 1),
    }


async def test_work_under_way_is_counted_by_job(store: Store) -> None:
    me = await worker(store)
    for name in ("one", "two"):
        job = await held(store, me)
        plan, handle = Plan("easel", "m", "v1", {}), Handle("easel", name)
        steps = [
            Step(job.id, "paint", job.fence, "running", plan=plan, handle=handle),
            Step(job.id, "frame", job.fence, "intent", plan=plan),
            Step(job.id, "sign", job.fence, "done", plan=Plan("notary", "m", "v1", {}), result={}),
        ]
        assert await store.save_steps(me, [StepWrite(step) for step in steps]) == [True] * 3
    assert (await store.overview.of_all()).bought == {"easel": 2}


async def test_who_died_is_shown_for_a_while_and_who_left_is_not(store: Store, database: asyncpg.Connection) -> None:
    living, left, died, long_dead = [await worker(store, lease_s=lease_s) for lease_s in (30, 30, -1, -1)]
    overdue = await worker(store, lease_s=-1)
    await store.leases.retire(left)
    for gone in (died, long_dead):
        await store.leases.rescue(gone)
    ago = "UPDATE jobrunner.workers SET dead_at = dead_at - interval '11 minutes' WHERE id = $1"
    await database.execute(ago, long_dead)
    shown = {each.id: each.alive for each in (await store.overview.of_all()).workers}
    assert shown == {living: True, died: False, overdue: False}


async def test_a_user_s_hour_is_that_of_its_jobs_that_ran(store: Store, database: asyncpg.Connection) -> None:
    me = await worker(store)
    jobs = await inserted(store, *(new(user_id=user) for user in ("a", "a", "b")), new(user_id="a", delay_s=60.0))
    await store.finish(me, [end(job) for job in await claimed(store, me)])
    await store.cancel(jobs[3].id, {})
    await database.execute("UPDATE jobrunner.jobs SET started_at = completed_at - interval '4 s'")
    await database.execute("UPDATE jobrunner.jobs SET started_at = NULL WHERE id = $1", jobs[3].id)
    standing = await store.overview.of_user("a")
    [tally] = standing.hour["task", "draw"].values()
    assert (tally.counts, tally.median_s) == ({"completed": 2}, 4.0)
    assert (list(standing.hour), standing.open, standing.workers) == ([("task", "draw")], [], ())
