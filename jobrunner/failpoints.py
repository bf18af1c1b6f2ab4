"""Named places where a test may kill, stop or delay this process. Nothing happens unless JOBRUNNER_FAILPOINT is set.

`JOBRUNNER_FAILPOINT=submit.sent:kill` ends the process with SIGKILL when it passes `hit("submit.sent")`;
`:stop` sends it SIGSTOP; `:sleep` holds the passing coroutine for an hour. `name:action:3` acts on the third pass.
"""

import asyncio
import os
import signal

_armed = os.environ.get("JOBRUNNER_FAILPOINT", "")
_passes = 0
_HOUR_S = 3600


async def hit(name: str) -> None:
    if not _armed:
        return
    global _passes  # noqa: PLW0603  # one armed failpoint a process, by design
    armed, action, *rest = _armed.split(":")
    if armed != name:
        return
    _passes += 1
    if _passes != int(rest[0] if rest else 1):
        return
    if action == "sleep":
        await asyncio.sleep(_HOUR_S)
    else:
        os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[action])
