"""Workers, zombies, rescuers, persons and lost answers in any order against a real Postgres: the rows obey the table.

The model is the transition table as FAULTS words it (one terminal state, a fence that only grows, nothing written
with an old one), kept in plain Python beside the database and compared with it after every step.
"""

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from jobrunner.job import CRASH_LIMIT, Status, Transition
from jobrunner.settings import Settings
from jobrunner.store.postgres import Store
from jobrunner.store.rows import Finish, NewJob, Step, StepWrite

T = TypeVar("T")
EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES", "50"))
STEPS = 50
LEASE_S = 3600.0
TASK = "draw"
ENDS = (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.PENDING)


@dataclass
class Row:
    """What the model believes of a job."""

    status: Status = Status.PENDING
    fence: int = 0
    worker: UUID | None = None
    crashes: int = 0
    suspicion: int = 0
    cancel: bool = False


@dataclass(frozen=True)
class Grant:
    """A claim that some worker once got; it may be long over."""

    worker: UUID
    job: UUID
    fence: int


@dataclass
class Employed:
    overdue: bool = False
    dead: bool = False


class Jobs(RuleBasedStateMachine):
    runner: asyncio.Runner
    store: Store
    database: asyncpg.Connection

    workers = Bundle("workers")
    jobs = Bundle("jobs")
    grants = Bundle("grants")

    def __init__(self) -> None:
        super().__init__()
        self.queue = str(uuid7())
        self.rows: dict[UUID, Row] = {}
        self.staff: dict[UUID, Employed] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.database.execute("UPDATE jobrunner.jobs SET cancel_requested_at = now()"))
        self.run(self.database.execute("UPDATE jobrunner.workers SET lease_until = now()"))
        self.run(self.store.leases.rescue())

    # ---- people --------------------------------------------------------------------------------

    @initialize(target=jobs, count=st.integers(1, 4))
    def begin(self, count: int) -> Any:
        return multiple(*self._submit(count))

    @rule(target=jobs, count=st.integers(1, 3))
    def submit(self, count: int) -> Any:
        return multiple(*self._submit(count))

    def _submit(self, count: int) -> list[UUID]:
        new = [NewJob(uuid7(), TASK, "image", "{}", self.queue, 3) for _ in range(count)]
        self.run(self.store.insert(new))
        self.rows |= {job.id: Row() for job in new}
        return [job.id for job in new]

    @rule(job=jobs)
    def cancel(self, job: UUID) -> None:
        row = self.rows[job]
        answer = self.run(self.store.cancel(job, {"code": "cancelled"}))
        assert (answer is None) == row.status.terminal
        if not row.status.terminal:
            row.cancel = True
        if row.status is Status.PENDING:
            row.status = Status.CANCELLED

    @rule(job=jobs)
    def retry(self, job: UUID) -> None:
        row = self.rows[job]
        allowed = row.status in {Status.FAILED, Status.CANCELLED}
        assert (self.run(self.store.retry(job)) is not None) == allowed
        if allowed:
            self.rows[job] = Row(fence=row.fence)

    # ---- workers -------------------------------------------------------------------------------

    @rule(target=workers)
    def hire(self) -> UUID:
        worker = uuid7()
        self.staff[worker] = Employed()
        self.run(
            self.store.leases.register(
                worker, host="here", pid=1, queue=self.queue, version="0", max_jobs=9, lease_s=LEASE_S
            )
        )
        return worker

    @rule(target=grants, worker=workers, limit=st.integers(1, 3), suspicion=st.integers(0, 2), heard=st.booleans())
    def claim(self, worker: UUID, limit: int, suspicion: int, heard: bool) -> Any:
        """`heard`: whether the answer arrives; the rows say it all the same."""
        due = {id for id, row in self.rows.items() if row.status is Status.PENDING and row.suspicion == suspicion}
        jobs = self.run(
            self.store.claim(worker, queue=self.queue, tasks=[TASK], limit=limit, ids=None, suspicion=suspicion)
        )
        assert len(jobs) == (0 if self.staff[worker].dead else min(limit, len(due)))
        for job in jobs:
            row = self.rows[job.id]
            assert (job.id in due, job.fence) == (True, row.fence + 1)
            row.status, row.fence, row.worker = Status.IN_PROGRESS, job.fence, worker
        if not heard:
            held = self.run(self.store.held(worker))
            assert {job.id for job in jobs} <= {job.id for job in held}
        return multiple(*(Grant(worker, job.id, job.fence) for job in jobs))

    @rule(grant=grants, status=st.sampled_from(ENDS), twice=st.booleans())
    def finish(self, grant: Grant, status: Status, twice: bool) -> None:
        """By whoever once held the job; `twice`, since the first answer was lost.

        Written where it is held; where the row has ended just so already, it is only answered.
        """
        end = Finish(grant.job, grant.fence, Transition(status, 0))
        row = self.rows[grant.job]
        held = self._holds(grant)
        stands = status.terminal and (row.status, row.fence) == (status, grant.fence)
        [answer] = self.run(self.store.finish(grant.worker, [end]))
        assert (answer is not None) == (held or stands)
        if held:
            row.status, row.worker = status, None
        if twice:
            [again] = self.run(self.store.finish(grant.worker, [end]))
            assert (again is not None) == ((held or stands) and status.terminal)

    @rule(grant=grants)
    def step(self, grant: Grant) -> None:
        write = StepWrite(Step(grant.job, "buy", grant.fence, "intent"))
        assert self.run(self.store.save_steps(grant.worker, [write])) == [self._holds(grant)]

    def _holds(self, grant: Grant) -> bool:
        row = self.rows[grant.job]
        return (row.status, row.worker, row.fence) == (Status.IN_PROGRESS, grant.worker, grant.fence)

    # ---- leases --------------------------------------------------------------------------------

    @rule(worker=workers)
    def fall_silent(self, worker: UUID) -> None:
        expire = "UPDATE jobrunner.workers SET lease_until = now() - interval '1 second' WHERE id = $1"
        self.run(self.database.execute(expire, worker))
        self.staff[worker].overdue = True

    @rule(worker=workers)
    def renew(self, worker: UUID) -> None:
        """Late or not: it goes on unless somebody declared it dead."""
        employed = self.staff[worker]
        cancels = self.run(self.store.leases.renew(worker, lease_s=LEASE_S, in_flight=0, stats={}))
        if employed.dead:
            assert cancels is None
        else:
            employed.overdue = False
            mine = {id for id, row in self.rows.items() if row.worker == worker and row.cancel}
            assert set(cancels or []) == mine

    @rule()
    def rescue(self) -> None:
        gone = {id for id, employed in self.staff.items() if employed.overdue and not employed.dead}
        lost = {id: row for id, row in self.rows.items() if row.worker in gone}
        rescued = self.run(self.store.leases.rescue())
        assert {job.id for job in rescued} == set(lost)
        alone = {worker: sum(row.worker == worker for row in lost.values()) == 1 for worker in gone}
        for row in lost.values():
            assert row.worker is not None
            row.crashes += alone[row.worker]
            row.suspicion += 1
            row.worker = None
            row.status = Status.PENDING
            if row.cancel:
                row.status = Status.CANCELLED
            elif row.crashes >= CRASH_LIMIT:
                row.status = Status.FAILED
        for worker in gone:
            self.staff[worker].dead = True

    # ---- what always holds ---------------------------------------------------------------------

    @invariant()
    def rows_are_true(self) -> None:
        said = "SELECT id, status, fence, worker_id, crashes, suspicion FROM jobrunner.jobs WHERE queue = $1"
        found = {row["id"]: tuple(row)[1:] for row in self.run(self.database.fetch(said, self.queue))}
        assert found == {
            id: (row.status, row.fence, row.worker, row.crashes, row.suspicion) for id, row in self.rows.items()
        }


def test_rows_obey_the_table_whatever_happens(database_url: str) -> None:
    with asyncio.Runner() as runner:

        async def opened() -> tuple[Any, Store, asyncpg.Connection]:
            opening = Store.opened(Settings(database_url=SecretStr(database_url)))
            return opening, await opening.__aenter__(), await asyncpg.connect(database_url)

        opening, Jobs.store, Jobs.database = runner.run(opened())
        Jobs.runner = runner
        try:
            run = settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            run_state_machine_as_test(Jobs, settings=run)
        finally:
            runner.run(Jobs.database.close())
            runner.run(opening.__aexit__(None, None, None))
