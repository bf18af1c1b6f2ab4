"""Signals: the first asks a program to end, the next one does not wait for its farewell."""

import asyncio
import os
import signal

import click
import pytest

from jobrunner.cli import SIGNALLED
from jobrunner.cli.process import Signals, run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_says_nothing_is_cut_off(number: signal.Signals) -> None:
    async def program(signals: Signals) -> None:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()

    with pytest.raises(click.exceptions.Exit) as ended:
        run(program)
    assert ended.value.exit_code == SIGNALLED + number


def test_a_second_signal_cuts_a_farewell_off() -> None:
    async def program(signals: Signals) -> None:
        waiting = asyncio.create_task(signals.wait())
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGINT)
        await waiting
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    with pytest.raises(click.exceptions.Exit) as ended:
        run(program)
    assert ended.value.exit_code == SIGNALLED + signal.SIGINT
