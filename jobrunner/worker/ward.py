"""A ward's process, `python -m jobrunner.worker.ward`: told on stdin whom to run and with which settings."""

import asyncio
import sys
from uuid import UUID

import orjson
import uvloop

from jobrunner.errors import JobrunnerError
from jobrunner.observe import collect_rarely, observing, watched
from jobrunner.runtime import opened
from jobrunner.settings import Settings, load
from jobrunner.worker.arq_worker import run_until_signalled
from jobrunner.worker.loop import WorkerLoop
from jobrunner.worker.wards import Ward


async def work(settings: Settings, ward: Ward) -> None:
    with observing(settings.log_level):
        async with watched(settings.worker.watchdog_s), opened(settings) as runtime:
            collect_rarely()
            await run_until_signalled(WorkerLoop(runtime, ward=ward))


def main() -> None:
    order = orjson.loads(sys.stdin.buffer.read())
    try:
        settings = load(**order["settings"])
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work(settings, Ward(order["suspicion"], UUID(order["worker"]))))
    except JobrunnerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
