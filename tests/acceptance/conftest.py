"""A data directory of its own for every test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Jobrunner, until


@pytest.fixture
def jobrunner() -> Iterator[Jobrunner]:
    """A fresh data directory; at the end nothing may be left running in it."""
    with tempfile.TemporaryDirectory(prefix="jobrunner-tests-") as directory:
        jobrunner = Jobrunner(Path(directory) / "data")
        yield jobrunner
        until(lambda: not jobrunner.left_behind(), "nothing is left running")
