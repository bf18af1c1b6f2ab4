"""Stopping a function: SoftTimeout inside it, hard stops around it, and nothing of it left running."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NoReturn

import pytest
import uvloop

from jobrunner.errors import PermanentError, SoftTimeout
from jobrunner.worker import supervise
from jobrunner.worker.supervise import Stop, Stopped, Supervised

Function = Callable[[], Awaitable[Any]]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
SOON_S = 0.02
LONG_S = 60.0


class Bench:
    """Runs one function supervised, stops it at its first await if told to, and notes what it left behind."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self.left: set[asyncio.Task[Any]] = set()
        self.abandoned = False

    def run(
        self, function: Function, *, soft_s: float = LONG_S, hard_s: float = LONG_S, stops: Sequence[Stop] = ()
    ) -> Any:
        return self._runner.run(self._run(function, soft_s, hard_s, stops))

    async def _run(self, function: Function, soft_s: float, hard_s: float, stops: Sequence[Stop]) -> Any:
        waits = asyncio.Event()

        async def watched() -> Any:
            waits.set()
            return await function()

        async with asyncio.timeout(5):
            supervised = Supervised(watched(), soft_s=soft_s, hard_s=hard_s)
            if stops:
                await waits.wait()
            for why in stops:
                supervised.stop(why)
            try:
                return await supervised.run()
            finally:
                self.abandoned = supervised.abandoned
                self.left = asyncio.all_tasks() - {asyncio.current_task()}


@pytest.fixture(params=LOOPS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield Bench(runner)


def cancelling() -> int:
    """How many cancellations the running task has been asked for and not been rid of."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def forever() -> NoReturn:
    while True:
        await asyncio.Event().wait()


async def in_a_task() -> None:
    await asyncio.create_task(forever())


async def in_a_task_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(forever())
        group.create_task(in_wait_for())


async def in_a_task_groups_body() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(forever())
        await forever()


async def in_wait_for() -> None:
    await asyncio.wait_for(forever(), LONG_S)


async def in_gather() -> None:
    await asyncio.gather(forever(), in_a_task())


async def in_gather_that_keeps_exceptions() -> None:
    await asyncio.gather(forever(), forever(), return_exceptions=True)


async def in_timeout() -> None:
    async with asyncio.timeout(LONG_S):
        await in_a_task()


WAITING: list[Function] = [
    forever,
    in_a_task,
    in_a_task_group,
    in_wait_for,
    in_gather,
    in_gather_that_keeps_exceptions,
    in_timeout,
]
WAITING_IN_A_BODY: list[Function] = [in_a_task_groups_body]
# Before Python 3.13 a TaskGroup wraps what ends its body: catching that is the except* test's.
CATCHABLE = WAITING + (WAITING_IN_A_BODY if sys.version_info >= (3, 13) else [])


@pytest.mark.parametrize("waiting", WAITING + WAITING_IN_A_BODY)
def test_a_soft_timeout_that_passes_leaves_no_child_running(bench: Bench, waiting: Function) -> None:
    with pytest.raises(Stopped) as stopped:
        bench.run(waiting, soft_s=SOON_S)
    assert stopped.value.why == "soft"
    assert not bench.left


def test_around_a_task_group_an_except_star_catches_the_soft_timeout_on_every_python(bench: Bench) -> None:
    async def saving() -> str:
        saved = "nothing"
        try:
            await in_a_task_groups_body()
        except* SoftTimeout:  # before Python 3.13 it comes in a group
            saved = "saved"
        return saved

    assert bench.run(saving, soft_s=SOON_S) == "saved"


@pytest.mark.parametrize("waiting", CATCHABLE)
def test_a_function_may_catch_its_soft_timeout_and_save(bench: Bench, waiting: Function) -> None:
    async def saving() -> tuple[str, int]:
        try:
            await waiting()
        except SoftTimeout:
            await asyncio.sleep(0)
            return "saved", cancelling()
        return "not stopped", 0

    assert bench.run(saving, soft_s=SOON_S) == ("saved", 0)
    assert not bench.left


def test_after_a_soft_timeout_the_functions_own_time_limits_work(bench: Bench) -> None:
    async def going_on() -> str:
        try:
            await forever()
        except SoftTimeout:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(forever(), SOON_S)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SOON_S):
                    await forever()
        async with asyncio.TaskGroup() as group:
            child = group.create_task(asyncio.sleep(0, "went on"))
        return await child

    assert bench.run(going_on, soft_s=SOON_S) == "went on"


def test_a_function_that_goes_on_after_its_soft_timeout_meets_the_hard_one(bench: Bench) -> None:
    seen: list[type[BaseException]] = []

    async def greedy() -> None:
        for _ in range(2):
            try:
                await forever()
            except asyncio.CancelledError as error:
                seen.append(type(error))

    with pytest.raises(Stopped) as stopped:
        bench.run(greedy, soft_s=SOON_S, hard_s=2 * SOON_S)
    assert stopped.value.why == "hard"
    assert seen == [SoftTimeout, asyncio.CancelledError]


@pytest.mark.parametrize("waiting", WAITING + WAITING_IN_A_BODY)
def test_the_hard_timeout_leaves_no_child_running(bench: Bench, waiting: Function) -> None:
    with pytest.raises(Stopped) as stopped:
        bench.run(waiting, hard_s=SOON_S)
    assert stopped.value.why == "hard"
    assert not bench.left


def test_a_function_that_swallows_its_hard_timeout_is_abandoned_after_the_grace(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "END_GRACE_S", SOON_S)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 3:  # the hard timeout, the abandoning, and the end of this test
            try:
                await forever()
            except asyncio.CancelledError:
                swallowed += 1

    with pytest.raises(Stopped) as stopped:
        bench.run(stubborn, hard_s=SOON_S)
    assert stopped.value.why == "hard"
    assert bench.abandoned
    assert len(bench.left) == 1


async def returns() -> str:
    try:
        await forever()
    except asyncio.CancelledError:
        return "done all the same"


async def raises() -> None:
    try:
        await forever()
    except asyncio.CancelledError:
        raise PermanentError("a clean-up that broke") from None


@pytest.mark.parametrize("function", [forever, returns, raises])
@pytest.mark.parametrize("why", ["cancel", "lost", "hard"])
def test_a_stop_outweighs_what_the_function_makes_of_it(bench: Bench, why: Stop, function: Function) -> None:
    with pytest.raises(Stopped) as stopped:
        bench.run(function, stops=[why])
    assert stopped.value.why == why
    assert not bench.abandoned


@pytest.mark.parametrize("function", [forever, raises])
def test_a_hand_back_fails_no_job(bench: Bench, function: Function) -> None:
    with pytest.raises(Stopped) as stopped:
        bench.run(function, stops=["hand_back"])
    assert stopped.value.why == "hand_back"


def test_a_result_that_was_ready_at_a_hand_back_is_kept(bench: Bench) -> None:
    assert bench.run(returns, stops=["hand_back"]) == "done all the same"


@pytest.mark.parametrize(
    ("stops", "why", "raised"),
    [
        (["soft", "cancel"], "cancel", asyncio.CancelledError),
        (["cancel", "soft"], "cancel", asyncio.CancelledError),
        (["hand_back", "cancel", "hard"], "hand_back", asyncio.CancelledError),
        (["soft", "soft"], "soft", SoftTimeout),
    ],
)
def test_a_soft_stop_gives_way_and_every_other_stands(
    bench: Bench, stops: list[Stop], why: Stop, raised: type[BaseException]
) -> None:
    seen: list[type[BaseException]] = []

    async def noting() -> None:
        try:
            await forever()
        except asyncio.CancelledError as error:
            seen.append(type(error))
            raise

    with pytest.raises(Stopped) as stopped:
        bench.run(noting, stops=stops)
    assert stopped.value.why == why
    assert seen == [raised]


@pytest.mark.parametrize("why", ["soft", "hard", "cancel", "hand_back", "lost"])
async def test_a_function_stopped_before_its_first_step_never_starts(why: Stop) -> None:
    async def never() -> NoReturn:
        raise AssertionError

    supervised = Supervised(never(), soft_s=LONG_S, hard_s=LONG_S)
    supervised.stop(why)
    with pytest.raises(Stopped) as stopped:
        await supervised.run()
    assert stopped.value.why == why


async def test_whoever_gives_up_waiting_takes_the_function_along() -> None:
    supervised = Supervised(in_a_task_group(), soft_s=LONG_S, hard_s=LONG_S)
    waiting = asyncio.create_task(supervised.run())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting, supervised.task], timeout=5)
    assert (waiting.cancelled(), supervised.task.cancelled()) == (True, True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def raises_cancelled() -> None:
    raise asyncio.CancelledError


async def awaits_a_cancelled_child() -> None:
    child = asyncio.create_task(forever())
    child.cancel()
    await child


@pytest.mark.parametrize("function", [raises_cancelled, awaits_a_cancelled_child])
def test_a_function_that_cancels_itself_is_told_apart(bench: Bench, function: Function) -> None:
    with pytest.raises(Stopped) as stopped:
        bench.run(function)
    assert stopped.value.why == "inside"


def test_without_a_stop_a_function_returns_and_raises_as_it_would_alone(bench: Bench) -> None:
    error = PermanentError("no")

    async def failing() -> None:
        await asyncio.sleep(0)
        raise error

    async def catching() -> str:
        try:
            await asyncio.gather(failing())
        except PermanentError as caught:
            return str(caught)
        return ""

    assert bench.run(catching) == "no"
    with pytest.raises(PermanentError) as raised:
        bench.run(failing)
    assert raised.value is error


def test_a_task_that_exits_ends_itself_and_not_its_worker(bench: Bench) -> None:
    async def exiting() -> NoReturn:
        sys.exit(3)

    with pytest.raises(RuntimeError, match="SystemExit left the task: 3"):
        bench.run(exiting)
