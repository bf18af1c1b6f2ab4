"""The log as a machine reads it, while a block runs."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest

from jobrunner.observe import observing


class Log:
    def __init__(self, stderr: StringIO) -> None:
        self._stderr = stderr

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stderr.getvalue().splitlines()]

    def line(self, words: str) -> dict[str, Any]:
        """The one whose event that is, or in which a library said it."""
        [found] = [line for line in self.lines() if words in {line["event"], line.get("message")}]
        return found


@contextmanager
def logged() -> Iterator[Log]:
    with pytest.MonkeyPatch.context() as patch:
        stderr = StringIO()
        patch.setattr(sys, "stderr", stderr)
        with observing():
            yield Log(stderr)
