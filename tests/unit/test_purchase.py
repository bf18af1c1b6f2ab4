"""Buying once: what an earlier attempt committed decides whether this one polls, looks up, repeats or buys."""

import asyncio
import struct
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from jobrunner.broker.changes import Change
from jobrunner.errors import (
    AttemptError,
    InvalidRequest,
    PermanentError,
    PutOff,
    RateLimited,
    SubmitUnknown,
    TransientError,
    Unavailable,
)
from jobrunner.job import Job, Status
from jobrunner.net import Net
from jobrunner.providers.driver import CancelAnswer, Capabilities, Desk, Failed, Finished, Listed, Poll, Running
from jobrunner.providers.hooks import Hooks
from jobrunner.request import ImageRequest, Request
from jobrunner.settings import Settings
from jobrunner.store.artifacts import FileArtifacts
from jobrunner.store.rows import Step, StepWrite
from jobrunner.work import Artifact, Handle, Intent, Output, Plan
from jobrunner.worker import breaker, purchase
from jobrunner.worker import steps as steps_module
from jobrunner.worker.breaker import Breakers
from jobrunner.worker.purchase import Purchase
from jobrunner.worker.steps import Steps
from jobrunner.worker.tools import Tools

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ID = UUID(int=7)
REQUEST = ImageRequest("a lighthouse")
FINISHED = Finished((Output("image", url="https://example.com/a.png"),), {})
HANDLES = Capabilities(frozenset({"image"}), handle=True)
LOST = SubmitUnknown("the connection broke")

Answer = Handle | Finished | Exception


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def handle(remote_id: str, provider: str = "first") -> Handle:
    return Handle(provider, remote_id)


def plan(provider: str = "first") -> Plan:
    return Plan(provider, "m", "v1/images", {"prompt": REQUEST.prompt})


def committed(state: Any, *, sequence: int = 1, remote_id: str | None = None, age_s: float = 60.0) -> Step:
    """A step as an earlier attempt left it."""
    found = None if remote_id is None else handle(remote_id)
    created_at = datetime.fromtimestamp(time.time() - age_s, UTC)
    return Step(ID, "generate", 1, state, sequence, plan(), found, created_at=created_at)


@dataclass
class FakeDriver:
    """Answers from its scripts, in order; where one is used up, the last answer is given again."""

    log: list[str]
    name: str = "first"
    capabilities: Capabilities = HANDLES
    submits: list[Answer] = field(default_factory=lambda: [handle("r1")])
    polls: list[Poll | Exception] = field(default_factory=lambda: [FINISHED])
    finds: list[list[Handle] | Exception] = field(default_factory=lambda: [[]])
    cannot: PermanentError | None = None
    keys: list[str] = field(default_factory=list)
    since: list[float] = field(default_factory=list)
    takes_s: float = 0.0

    def prepare(self, model: str, request: Request) -> Plan:
        if self.cannot is not None:
            raise self.cannot
        return plan(self.name)

    async def submit(self, intent: Intent, desk: Desk) -> Handle | Finished:
        self.log.append(f"{self.name} submit")
        self.keys.append(intent.key)
        await asyncio.sleep(self.takes_s)
        answer: Handle | Finished = _next(self.submits)
        return answer

    async def poll(self, handle: Handle) -> Poll:
        self.log.append(f"{self.name} poll {handle.id}")
        answer: Poll = _next(self.polls)
        return answer

    async def listed(self, since: float) -> list[Listed]:
        self.log.append(f"{self.name} list")
        self.since.append(since)
        found: list[Handle] = _next(self.finds)
        return [Listed(replace(each, submitted_at=since), lambda _: True) for each in found]

    async def fetch(self, output: Output, spool: Path) -> Path:
        path = spool / "fetched"
        path.write_bytes(png())
        return path

    async def cancel(self, handle: Handle) -> CancelAnswer:
        return "cancelled"

    async def aclose(self) -> None: ...


def _next(script: list[Any]) -> Any:
    answer = script.pop(0) if len(script) > 1 else script[0]
    if isinstance(answer, Exception):
        raise answer
    return answer


class World:
    """A worker's tools, in memory. `log` tells provider calls and commits in the order in which they happened."""

    def __init__(self, tmp_path: Path) -> None:
        self.log: list[str] = []
        self.first = FakeDriver(self.log)
        self.second = FakeDriver(self.log, name="second", submits=[handle("r2", "second")])
        self.rows: dict[str, Step] = {}
        self.taken: set[str] = set()
        self.held = True
        self.outages = 0
        self.progress: list[float] = []
        self.breakers = Breakers()
        self.routes: tuple[str, ...] = ("first:m",)
        self._tmp_path = tmp_path

    @property
    def row(self) -> Step:
        return self.rows["generate"]

    def leave(self, step: Step) -> None:
        self.rows[step.name] = step

    async def valid(self) -> None:
        """The lease's."""

    def now(self) -> datetime:
        """The lease's, too."""
        return datetime.now(UTC)

    async def add(self, write: StepWrite) -> bool:
        """The steps batcher's."""
        self._answer()
        step = write.step
        if step.handle is not None and step.handle.id in self.taken:
            raise InvalidRequest("duplicate key value violates unique constraint")
        if self.held:
            self.log.append(f"commit {step.state}")
            self.rows[step.name] = step
        return self.held

    async def steps_of(self, job_id: UUID) -> list[Step]:
        self._answer()
        return list(self.rows.values())

    async def remote_ids(self, provider: str, ids: list[str]) -> set[str]:
        self._answer()
        return self.taken & set(ids)

    def tell(self, changes: Iterable[Change]) -> None:
        """Nobody watches."""

    def _answer(self) -> None:
        if self.outages:
            self.outages -= 1
            raise Unavailable("Postgres is away")

    def purchase(self, *, resubmit: bool = False) -> Purchase:
        me = cast("Any", self)
        drivers = {"first": self.first, "second": self.second}
        tools = Tools(
            *(me, me, FileArtifacts(self._tmp_path / "kept"), drivers),
            routes={"image": self.routes},
            spool=self._tmp_path / "spool",
            net=me,
            steps=me,
            changes=me,
            receivers=me,
            hooks=Hooks(Net(), Settings()),
            journal=me,
            previews=me,
            progress=me,
            breakers=self.breakers,
        )
        fence = 2 if self.rows else 1
        job = Job(
            *(ID, "draw", "image", Status.IN_PROGRESS, {}, "arq:queue", NOW, NOW, NOW),
            retries=3,
            fence=fence,
            failures=0,
            crashes=0,
        )
        return Purchase(job, Steps(job, tools), tools, resubmit=resubmit, progress=self.progress.append)

    async def make(self, *, resubmit: bool = False) -> tuple[Artifact, ...]:
        return (await self.purchase(resubmit=resubmit).make(REQUEST, "generate")).artifacts


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("_POLL_FIRST_S", "_POLL_CAP_S"):
        monkeypatch.setattr(purchase, name, 0.001)
    monkeypatch.setattr(purchase, "_SETTLE_S", 0.02)
    monkeypatch.setattr(steps_module, "_AGAIN_S", 0.001)
    return World(tmp_path)


def can(driver: FakeDriver, *, lists: bool = False, idempotent: bool = False, endpoint: str | None = None) -> None:
    """Of all its endpoints, or of one."""
    able = replace(HANDLES, lists=lists, idempotent=idempotent)
    driver.capabilities = able if endpoint is None else replace(HANDLES, endpoints={endpoint: able})


async def test_every_step_is_committed_before_the_next_begins(world: World) -> None:
    world.first.polls = [Running(progress=0.5), FINISHED]
    (artifact,) = await world.make()
    assert world.log == [
        *("commit intent", "first submit", "commit running"),
        *("first poll r1", "first poll r1", "commit done"),
    ]
    assert (artifact.mime, artifact.width, artifact.job_id) == ("image/png", 1, ID)
    assert world.progress == [0.5]


async def test_a_provider_that_answers_in_one_request_is_never_polled(world: World) -> None:
    world.first.submits = [FINISHED]
    assert len(await world.make()) == 1
    assert world.log == ["commit intent", "first submit", "commit done"]


async def test_what_is_done_is_answered_without_any_call(world: World) -> None:
    bought = await world.make()
    world.log.clear()
    assert await world.make() == bought
    assert world.log == []


async def test_a_running_purchase_is_followed_and_not_bought_again(world: World) -> None:
    world.leave(committed("running", remote_id="r1"))
    await world.make()
    assert world.log == ["first poll r1", "commit done"]


async def test_a_failed_purchase_is_bought_anew_under_the_next_number(world: World) -> None:
    world.leave(committed("failed", sequence=4))
    await world.make()
    assert world.first.keys == [f"{ID}:generate:5"]
    assert world.row.sequence == 5


async def test_an_orphan_is_found_by_its_plan_and_followed(world: World) -> None:
    can(world.first, lists=True)
    world.first.finds = [[handle("twin"), handle("orphan")]]
    world.taken = {"twin"}
    world.leave(committed("intent"))
    await world.make()
    assert world.log == ["first list", "commit running", "first poll orphan", "commit done"]


async def test_what_can_be_done_about_a_lost_answer_is_told_by_its_endpoint(world: World) -> None:
    can(world.first, idempotent=True, endpoint=plan().endpoint)
    world.leave(committed("intent"))
    await world.make()
    assert world.log[0] == "first submit"
    can(world.first, idempotent=True, endpoint="v1/others")
    world.leave(committed("intent"))
    with pytest.raises(SubmitUnknown):
        await world.make()


async def test_a_request_that_never_arrived_is_bought_again(world: World) -> None:
    can(world.first, lists=True)
    world.leave(committed("intent"))
    await world.make()
    looks = world.log.index("commit intent")
    assert world.log[: looks + 2] == ["first list"] * looks + ["commit intent", "first submit"]
    assert looks > 1, "however long ago it was decided, it may have left just now"
    assert world.first.keys == [f"{ID}:generate:2"]


async def test_the_same_key_is_repeated_where_the_provider_honours_keys(world: World) -> None:
    can(world.first, idempotent=True)
    world.leave(committed("intent", sequence=3))
    await world.make()
    assert world.log == ["first submit", "commit running", "first poll r1", "commit done"]
    assert world.first.keys == [f"{ID}:generate:3"]


async def test_an_unknown_submit_that_nobody_can_look_up_is_left_to_a_person(world: World) -> None:
    world.leave(committed("intent"))
    with pytest.raises(SubmitUnknown, match="usage page"):
        await world.make()
    assert (world.log, world.row.state) == ([], "intent")


async def test_resubmit_buys_again_under_the_next_number(world: World) -> None:
    world.leave(committed("intent"))
    await world.make(resubmit=True)
    assert world.first.keys == [f"{ID}:generate:2"]


async def test_an_answer_that_was_waited_for_in_vain_is_looked_for_since_before_it_was_sent(world: World) -> None:
    can(world.first, lists=True)
    world.first.takes_s = 2 * purchase._SETTLE_S
    world.first.submits = [LOST]
    world.first.finds = [[], [handle("orphan")]]
    began = time.time()
    await world.make()
    assert world.log[:5] == ["commit intent", "first submit", "first list", "first list", "commit running"]
    assert all(since <= began for since in world.first.since)


@pytest.mark.parametrize("trouble", [TransientError("503"), RateLimited("later", retry_after_s=0.001)])
async def test_a_search_for_an_orphan_sits_errors_out_and_buys_nothing_elsewhere(
    world: World, trouble: AttemptError
) -> None:
    can(world.first, lists=True)
    world.routes = ("first:m", "second:m")
    world.first.submits = [LOST]
    world.first.finds = [trouble, trouble, [handle("orphan")]]
    await world.make()
    assert "first poll orphan" in world.log
    assert "second submit" not in world.log


async def test_a_lost_answer_under_a_key_is_another_attempts_to_repeat(world: World) -> None:
    can(world.first, idempotent=True)
    world.routes = ("first:m", "second:m")
    world.first.submits = [LOST, TransientError("503"), handle("r1")]
    for _ in range(2):  # neither the lost answer nor a refusal of the repeat says that the first was not taken
        with pytest.raises(TransientError):
            await world.make()
        assert world.row.state == "intent"
    await world.make()
    assert world.first.keys == [f"{ID}:generate:1"] * 3
    assert "second submit" not in world.log


@pytest.mark.parametrize("refusal", [PermanentError("no"), TransientError("503"), RateLimited("later")], ids=repr)
async def test_the_next_of_a_route_is_asked_where_the_first_refused(world: World, refusal: AttemptError) -> None:
    world.routes = ("first:m", "second:m")
    world.first.submits = [refusal]
    await world.make()
    assert world.log[:4] == ["commit intent", "first submit", "commit failed", "commit intent"]
    assert world.log[4] == "second submit"
    assert world.second.keys == [f"{ID}:generate:2"]


@pytest.mark.parametrize("entry", ["first:m", "nobody:m"])
async def test_an_entry_that_cannot_make_it_is_passed_over(world: World, entry: str) -> None:
    world.routes = (entry, "second:m")
    world.first.cannot = PermanentError("no references here")
    await world.make()
    assert world.log[:2] == ["commit intent", "second submit"]


@pytest.mark.parametrize("error", [PermanentError("nsfw", code="content_policy"), TransientError("E1000")], ids=repr)
async def test_what_was_accepted_and_failed_goes_to_no_other_provider(world: World, error: AttemptError) -> None:
    world.routes = ("first:m", "second:m")
    world.first.polls = [Failed(error)]
    with pytest.raises(type(error)) as raised:
        await world.make()
    assert raised.value is error
    assert (world.log[-1], world.row.error) == ("commit failed", error.record())
    assert "second submit" not in world.log


async def test_a_handle_that_a_twin_took_is_another_attempts_to_sort_out(world: World) -> None:
    world.routes = ("first:m", "second:m")
    world.taken = {"r1"}
    with pytest.raises(TransientError, match="already belongs to another job"):
        await world.make()
    assert world.log == ["commit intent", "first submit"]
    assert world.row.state == "intent"


@pytest.mark.parametrize("retryable", [TransientError("503"), RateLimited("later")], ids=repr)
async def test_where_all_refuse_the_one_that_may_accept_later_counts(world: World, retryable: AttemptError) -> None:
    world.routes = ("first:m", "second:m")
    world.first.submits = [PermanentError("no")]
    world.second.submits = [retryable]
    with pytest.raises(type(retryable)) as raised:
        await world.make()
    assert raised.value is retryable


def fails_again_and_again(world: World, provider: str = "first") -> None:
    for _ in range(breaker.FAILURES):
        world.breakers.heard(provider, TransientError("503"))


async def test_a_provider_that_is_left_alone_is_passed_over_without_a_trace(world: World) -> None:
    fails_again_and_again(world)
    with pytest.raises(PutOff) as waits:
        await world.make()
    assert waits.value.delay_s > 0
    assert (world.log, world.rows) == ([], {})
    world.routes = ("first:m", "second:m")
    await world.make()
    assert world.log[:2] == ["commit intent", "second submit"]


async def test_a_lost_answer_waits_for_a_provider_that_is_left_alone(world: World) -> None:
    can(world.first, idempotent=True)
    world.leave(committed("intent"))
    fails_again_and_again(world)
    with pytest.raises(PutOff):
        await world.make()
    assert (world.log, world.row.state) == ([], "intent")


@pytest.mark.parametrize("error", [PermanentError("no"), RateLimited("later")], ids=repr)
async def test_a_provider_that_says_no_is_there(world: World, error: AttemptError) -> None:
    world.first.submits = [TransientError("503"), error] * breaker.FAILURES
    for _ in range(2 * breaker.FAILURES):
        with pytest.raises(AttemptError):
            await world.make()
    assert world.log.count("first submit") == 2 * breaker.FAILURES


async def test_without_a_route_the_setting_is_named(world: World) -> None:
    world.routes = ()
    with pytest.raises(PermanentError, match=r"\[routes\] image"):
        await world.make()


async def test_polling_sits_out_what_passes(world: World) -> None:
    later = RateLimited("later", retry_after_s=0.001)
    world.first.polls = [TransientError("503"), later, Running(retry_after_s=0), FINISHED]
    await world.make()
    assert world.log.count("first poll r1") == 4


async def test_a_job_that_is_no_longer_ours_is_neither_sent_nor_touched_again(world: World) -> None:
    world.routes = ("first:m", "second:m")
    world.held = False
    bought = world.purchase()
    for _ in range(2):
        with pytest.raises(TransientError) as raised:
            await bought.make(REQUEST, "generate")
        assert raised.value.code == "job_lost"
    assert world.log == []


@pytest.mark.parametrize("state", ["running", "intent"])
async def test_an_outage_of_postgres_is_sat_out_wherever_it_comes(world: World, state: str) -> None:
    can(world.first, lists=True)
    world.leave(committed(state, remote_id="r1" if state == "running" else None))
    world.first.finds = [[handle("r1")]]
    world.outages = 2
    await world.make()
    assert world.row.state == "done"
    assert "first submit" not in world.log


async def test_a_cancel_reaches_what_is_under_way_and_owns_up_to_what_it_cannot_see(world: World) -> None:
    for name, state in {"a": "running", "b": "intent", "c": "done", "d": "failed"}.items():
        world.leave(replace(committed(state, remote_id=None if name == "b" else name), name=name))
    assert await world.purchase().cancel_upstream() == {"a": "cancelled", "b": "unknown"}
