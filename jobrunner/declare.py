"""How a task is declared and called: `@task`, its registry, the context a task sees, and `.delay`. Pure.

@task(module="image", timeout=timedelta(minutes=10), soft_timeout=timedelta(minutes=8), retries=3)
async def draw(ctx: TaskContext, params: Drawing) -> Picture: ...

job = await draw.delay(prompt="a lighthouse", user_id="u1")
"""

import inspect
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from jobrunner.errors import DeclarationError, InvalidParams, NoRunner
from jobrunner.job import Backoff, Job
from jobrunner.request import Request
from jobrunner.submitted import SubmittedJob
from jobrunner.work import Artifact, Generated, Kind, Level

DEFAULT_TIMEOUT = timedelta(minutes=30)
DEFAULT_SOFT_TIMEOUT = timedelta(minutes=25)

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")


class TaskContext(Protocol):
    """All that a task may touch. A unit test hands a task its own and needs no server."""

    @property
    def job(self) -> Job:
        """The job as it was claimed; `job.fence` is this attempt's number."""

    async def generate(self, request: Request, *, step: str = "generate") -> Generated:
        """Buy `request` from the first provider of its route, once for this job and step, and keep what it brings.

        A later attempt finds the work by its handle instead of buying again.
        Raises PermanentError, TransientError, RateLimited or SubmitUnknown as the provider's answer was.
        """

    async def step(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        """Run `make` once for this job: its JSON result is committed, and later attempts get that back.

        For free work (what costs money and may be repeated by a crash belongs into `generate`).
        """

    async def save(self, path: Path, *, kind: Kind, step: str = "save") -> Artifact:
        """Keep a file that the task made itself, once under this step name. Raises PermanentError `media_invalid`."""

    async def input(self, source: str, *, kind: Kind | None) -> Artifact:
        """A file that the params name: an artifact's id, an https URL or a data: URI (fetched once, and kept).

        `kind` None takes pictures, clips and sounds.
        Raises PermanentError (`artifact_not_found`, `url_not_allowed`, `media_invalid`, ...) or TransientError.
        """

    def path(self, artifact: Artifact) -> Path:
        """Where an artifact's file lies, to read and never to change. Raises NotFound."""

    def progress(self, fraction: float, note: str = "") -> None:
        """Say how far the job is, 0 to 1; may be called as often as you like."""

    def preview(self, image: bytes | Path) -> None:
        """Show what there is so far: a JPEG, PNG or WebP of at most 1024 pixels a side and 256 KiB.

        May be called as often as you like: people see the newest, until the attempt ends. A file is read a little
        later, so leave it where it is. A picture that cannot be shown only costs a line in the job's log.
        """

    def log(self, message: str, /, *, level: Level = "info", **fields: Any) -> None:
        """Write a line into the job's log, with `fields` beside it that are JSON.

        May be called as often as you like: the newest 1,000 lines of a job are kept, and who logs faster than about
        200 a second loses the oldest of them, which the log says.
        """


TaskFunction = Callable[[TaskContext, P], Awaitable[R]]


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """What a caller may say beside the params. `run_at` is an aware datetime; `delay` counts from now.

    `webhook` is the URL that is told how the job ended.
    """

    delay: timedelta | None = None
    run_at: datetime | None = None
    idempotency_key: str | None = None
    record_id: str | None = None
    retries: int | None = None
    metadata: Mapping[str, Any] | None = None
    webhook: str | None = None

    def __post_init__(self) -> None:
        if self.delay is not None and self.run_at is not None:
            raise InvalidParams("Give `delay` or `run_at`, not both.")
        if self.run_at is not None and self.run_at.tzinfo is None:
            raise InvalidParams("`run_at` has no time zone; use an aware datetime such as datetime.now(UTC).")
        if self.delay is not None and self.delay < timedelta(0):
            raise InvalidParams("`delay` is negative; leave it out to run at once.")
        if self.retries is not None and self.retries < 0:
            raise InvalidParams("`retries` is negative; 0 means one attempt.")


class Runner(Protocol):
    """What `.delay` needs of an open JobRunner."""

    async def submit(
        self, task: "TaskSpec[Any, Any]", params: BaseModel, options: SubmitOptions
    ) -> SubmittedJob[Any]: ...


@dataclass(frozen=True, eq=False)
class TaskSpec(Generic[P, R]):
    """A declared task. Timeouts and `retries` are what one attempt and one job of it may use."""

    name: str
    module: str
    function: TaskFunction[P, R]
    params: type[P]
    result: type[R]
    timeout: timedelta
    soft_timeout: timedelta
    retries: int
    backoff: Backoff
    resubmit: bool
    summary: str

    def validate(self, params: Mapping[str, Any]) -> P:
        """Raises InvalidParams with each field's path."""
        try:
            return self.params.model_validate(params)
        except ValidationError as error:
            found = [
                {
                    "path": ".".join(["params", *map(str, each["loc"])]),
                    "message": each["msg"],
                    "type": each["type"],
                }
                for each in error.errors(include_url=False, include_input=False, include_context=False)
            ]
            first = found[0]
            raise InvalidParams(
                f"{self.name}: {first['path']}: {first['message']}"
                + (f" (and {len(found) - 1} more)" if len(found) > 1 else ""),
                found,
            ) from None

    async def delay(self, **params: Any) -> SubmittedJob[R]:
        """Submit to the innermost open JobRunner and return at once. Raises InvalidParams, NoRunner."""
        return await self.options().delay(**params)

    def options(self, **options: Any) -> "Call[P, R]":
        """`.options(delay=, run_at=, idempotency_key=, record_id=, retries=, metadata=, webhook=)` before `.delay`."""
        return Call(self, SubmitOptions(**options))

    async def __call__(self, ctx: TaskContext, params: P) -> R:
        """Run the function itself, as a unit test does."""
        return await self.function(ctx, params)


@dataclass(frozen=True, slots=True)
class Call(Generic[P, R]):
    task: TaskSpec[P, R]
    options: SubmitOptions

    async def delay(self, **params: Any) -> SubmittedJob[R]:
        return await current_runner().submit(self.task, self.task.validate(params), self.options)


# ---- declaring ---------------------------------------------------------------------------------

_registry: dict[str, TaskSpec[Any, Any]] = {}


def task(
    *,
    module: str,
    timeout: timedelta = DEFAULT_TIMEOUT,
    soft_timeout: timedelta | None = None,
    retries: int = 3,
    backoff: Backoff = Backoff(),  # noqa: B008  # frozen
    resubmit: bool = False,
    name: str | None = None,
) -> Callable[[TaskFunction[P, R]], TaskSpec[P, R]]:
    """Declare an async function `(ctx: TaskContext, params: Model) -> Model` as a task.

    `soft_timeout` defaults to 25 minutes, or to five sixths of a shorter `timeout`. `retries` is how often a job
    that failed transiently runs again. `resubmit=True` lets a job whose paid call has an unknown outcome buy again.
    Raises DeclarationError, at import, for what cannot work.
    """

    def declare(function: TaskFunction[P, R]) -> TaskSpec[P, R]:
        label = str(getattr(function, "__name__", function)) if name is None else name
        soft = min(DEFAULT_SOFT_TIMEOUT, timeout * 5 / 6) if soft_timeout is None else soft_timeout
        _check_declaration(label, function, timeout, soft, retries)
        params, result = _models_of(label, function)
        spec = TaskSpec(
            name=label,
            module=module,
            function=function,
            params=params,
            result=result,
            timeout=timeout,
            soft_timeout=soft,
            retries=retries,
            backoff=backoff,
            resubmit=resubmit,
            summary=(inspect.getdoc(function) or "").split("\n", 1)[0],
        )
        _registry[label] = spec
        return spec

    return declare


def _check_declaration(label: str, function: Any, timeout: timedelta, soft: timedelta, retries: int) -> None:
    if not inspect.iscoroutinefunction(function):
        raise DeclarationError(f"task {label} is not an async function; declare it with `async def`.")
    if timeout <= timedelta(0) or soft <= timedelta(0):
        raise DeclarationError(f"task {label}: timeouts must be longer than zero.")
    if soft > timeout:
        raise DeclarationError(
            f"task {label}: soft_timeout ({soft}) lies past timeout ({timeout}); it would never be raised."
        )
    if retries < 0:
        raise DeclarationError(f"task {label}: retries is {retries}; 0 means one attempt.")
    known = _registry.get(label)
    if known is not None and _source(known.function) != _source(function):
        raise DeclarationError(
            f"task {label} is declared twice: in {_source(known.function)} and in {_source(function)}. "
            "Rename one, or give it name=."
        )


def _source(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _models_of(label: str, function: Callable[..., Any]) -> tuple[type[Any], type[Any]]:
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise DeclarationError(
            f"task {label}: its annotations cannot be read at run time ({error}); import them outside TYPE_CHECKING."
        ) from None
    names = list(inspect.signature(function).parameters)
    shape = f"async def {label}(ctx: TaskContext, params: YourParams) -> YourResult"
    if len(names) != 2:  # noqa: PLR2004
        raise DeclarationError(f"task {label} must take exactly (ctx, params): `{shape}`.")
    params, result = hints.get(names[1]), hints.get("return")
    for what, model in (("params", params), ("result", result)):
        if not (inspect.isclass(model) and issubclass(model, BaseModel)):
            raise DeclarationError(
                f"task {label}: the type of its {what} must be a pydantic model, not {model!r}: `{shape}`."
            )
    return typing.cast("type[Any]", params), typing.cast("type[Any]", result)


def declared(modules: Iterable[str] | None = None) -> dict[str, TaskSpec[Any, Any]]:
    """The tasks by name: all, or those whose functions live in the given Python modules."""
    if modules is None:
        return dict(_registry)
    wanted = set(modules)
    return {label: spec for label, spec in _registry.items() if spec.function.__module__ in wanted}


# ---- the open runners --------------------------------------------------------------------------

_runners: list[Runner] = []
"""Process-wide, not a context variable: a lifespan's context is not the one its handlers run in."""


def push_runner(runner: Runner) -> None:
    _runners.append(runner)


def pop_runner(runner: Runner) -> None:
    _runners.remove(runner)


def current_runner() -> Runner:
    """The runner opened last. Raises NoRunner."""
    if not _runners:
        raise NoRunner(
            "No JobRunner is open in this process. Open one first: `async with JobRunner() as runner: ...` "
            "(in a web framework: in its start-up or lifespan)."
        )
    return _runners[-1]
