"""A task module whose jobs take their worker with them, each in its own way."""

import ctypes
import os
import re
import signal
import time
from typing import Literal

from pydantic import BaseModel

from jobrunner.declare import TaskContext, task


class Poison(BaseModel):
    way: Literal["kill", "segfault", "memory", "sleep", "regex"]


class Survived(BaseModel):
    pass


@task(module="image", retries=0)
async def take_poison(ctx: TaskContext, params: Poison) -> Survived:
    match params.way:
        case "kill":  # as the kernel does where memory runs out
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "memory":
            bytearray(1 << 62)
        case "sleep":
            block_in_sleep()
        case "regex":
            block_in_regex()
    return Survived()


def block_in_sleep() -> None:
    time.sleep(3600)


def block_in_regex() -> None:
    re.match("(a*)*b", "a" * 64)
