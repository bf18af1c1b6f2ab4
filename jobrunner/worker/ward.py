"""Where wards come from, `python -m jobrunner.worker.ward`: a process that has imported all and forks one when told to.

A ward that began as a Python of its own would cost a second of processor time, right after a crash, when there is none
to spare. This process has neither threads nor an event loop, so it may fork. Its stdin brings JSON, an object a line:
first the settings; then `{"run": worker, "suspicion": n}` for a new ward, `{"end": worker}` for one that is to drain.
It answers `{"worker": worker, "pid": n}` when a ward has begun, `{"worker": worker, "code": n}` when it has ended.
"""

import asyncio
import os
import signal
import sys
from typing import BinaryIO
from uuid import UUID

import orjson
import uvloop

from jobrunner.embedded.launch import Tied
from jobrunner.errors import JobrunnerError
from jobrunner.observe import collect_rarely, observing, watched
from jobrunner.runtime import opened
from jobrunner.settings import Settings, load
from jobrunner.worker.arq_worker import run_until_signalled
from jobrunner.worker.loop import WorkerLoop
from jobrunner.worker.wards import Ward

_SIGCHLD = {signal.SIGCHLD}


class Cradle:
    """The wards that live, by pid."""

    def __init__(self) -> None:
        self._pids: dict[int, str] = {}
        self._tied = Tied(signal.SIGTERM)

    def serve(self, orders: BinaryIO) -> Ward | None:
        """None when there are no more orders; in each process that it forks, which ward that is."""
        signal.signal(signal.SIGCHLD, lambda *_: self._reap())
        for line in orders:
            order = orjson.loads(line)
            if "end" in order:
                self._end(order["end"])
            elif self._fork(order["run"]):
                return Ward(order["suspicion"], UUID(order["run"]))
        return None

    def _fork(self, worker: str) -> bool:
        """Whether this is the child."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGCHLD)  # one that ends at once must be known by then
        try:
            pid = os.fork()
            if pid:
                self._pids[pid] = worker
                _tell(worker=worker, pid=pid)
                return False
            self._tied()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with open(os.devnull, "r+b") as nothing:  # noqa: PTH123  # a descriptor is wanted
                os.dup2(nothing.fileno(), 0)
                os.dup2(nothing.fileno(), 1)
            return True
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGCHLD)

    def _end(self, worker: str) -> None:
        for pid, each in self._pids.items():
            if each == worker:
                os.kill(pid, signal.SIGTERM)  # not reaped yet, so the pid is still its own

    def _reap(self) -> None:
        while self._pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            _tell(worker=self._pids.pop(pid), code=os.waitstatus_to_exitcode(status))


def _tell(**said: object) -> None:
    os.write(1, orjson.dumps(said) + b"\n")


async def work(settings: Settings, ward: Ward) -> None:
    with observing(settings.log_level):
        async with watched(settings.worker.watchdog_s), opened(settings) as runtime:
            collect_rarely()
            await run_until_signalled(WorkerLoop(runtime, ward=ward))


def main() -> None:
    orders = sys.stdin.buffer
    try:
        settings = load(**orjson.loads(orders.readline()))
        ward = Cradle().serve(orders)
        if ward is not None:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(work(settings, ward))
    except JobrunnerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
