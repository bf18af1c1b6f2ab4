"""A task's context that can do nothing: a test gives it what its task uses, and hears of all else."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from jobrunner.job import Job
from jobrunner.request import Request
from jobrunner.work import Artifact, Generated, Kind, Level

T = TypeVar("T")


class NoContext:
    @property
    def job(self) -> Job:
        raise NotImplementedError

    async def generate(self, request: Request, *, step: str = "generate") -> Generated:
        raise NotImplementedError

    async def step(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        raise NotImplementedError

    async def save(self, path: Path, *, kind: Kind, step: str = "save") -> Artifact:
        raise NotImplementedError

    async def input(self, source: str, *, kind: Kind | None) -> Artifact:
        raise NotImplementedError

    def path(self, artifact: Artifact) -> Path:
        raise NotImplementedError

    def progress(self, fraction: float, note: str = "") -> None:
        raise NotImplementedError

    def preview(self, image: bytes | Path) -> None:
        raise NotImplementedError

    def log(self, message: str, /, *, level: Level = "info", **fields: Any) -> None:
        raise NotImplementedError
