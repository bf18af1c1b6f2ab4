"""Functions that do not end when they are cancelled: each holds its slot until it does."""

import asyncio
import logging
from typing import Any

from jobrunner.errors import Unavailable
from jobrunner.events import emit

_SHARE = 10
"""A worker with more than one in this many slots held by such functions has to be replaced."""


class Stuck:
    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._functions: set[asyncio.Task[Any]] = set()
        self._gave_up = False

    def __len__(self) -> int:
        return len(self._functions)

    def hold(self, function: asyncio.Task[Any]) -> bool:
        """Whether the worker may go on."""
        self._functions.add(function)
        function.add_done_callback(self._functions.discard)
        emit("task.stuck", logging.ERROR, stuck=len(self), slots=self._slots)
        if len(self) * _SHARE > self._slots:
            emit("worker.gives_up", logging.CRITICAL, stuck=len(self))
            self._gave_up = True
        return not self._gave_up

    def check(self) -> None:
        """Raises Unavailable where the worker ended because of them."""
        if self._gave_up:
            raise Unavailable(
                "Too many slots were held by task functions that do not end when they are cancelled; this worker ends "
                "so that its supervisor starts a fresh one. Look for `task.stuck` above."
            )
