"""What every command shares: an event loop, a soft answer to signals, and settings."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
import uvloop

from jobrunner.cli import SIGNALLED
from jobrunner.settings import Settings, load

T = TypeVar("T")
_STOPPING = (signal.SIGTERM, signal.SIGINT)

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where jobrunner keeps its data, instead of the setting data_dir.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


class Signals:
    """SIGTERM and SIGINT: they cut the program off, cleanly, unless it says what else they should do."""

    def __init__(self, program: "asyncio.Task[Any]") -> None:
        self.received: int | None = None
        self._program = program
        self.cut_off()
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            loop.add_signal_handler(number, self._receive, number)

    def cut_off(self) -> None:
        """From now on each signal cuts the program off."""
        self.ask(self._program.cancel)

    def ask(self, react: Callable[[], object]) -> None:
        """From now on call `react` for each signal."""
        self._react = react

    async def wait(self) -> None:
        """Until a signal comes; the next one cuts the program's farewell off."""
        came = asyncio.Event()
        self.ask(came.set)
        await came.wait()
        self.cut_off()

    def _receive(self, number: signal.Signals) -> None:
        self.received = number
        self._react()


def run(program: Callable[[Signals], Coroutine[Any, Any, T]]) -> T:
    """Run `program` on uvloop. A program that a signal cut off exits with 130 (Ctrl-C) or 143, without a word."""

    async def main() -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine that runs is in a task
        signals = Signals(task)
        try:
            return await program(signals)
        except asyncio.CancelledError:
            if signals.received is None:
                raise
            raise click.exceptions.Exit(SIGNALLED + signals.received) from None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def settings_of(data_dir: Path | None, **overrides: Any) -> Settings:
    """The settings, with what the command line says on top. Raises ConfigError."""
    return load(**overrides) if data_dir is None else load(data_dir=data_dir, **overrides)
