"""The process that looks into files, `python -m jobrunner.media.examiner`; its stdin is a socket.

It is handed open files, one after another, and answers each with a line of JSON: what the file is, or why it is
refused. It can do nothing else: it has no network, can open no file, start no program and end no process, so what a
hostile file makes of the parsers is of little use to it. It ends after a while, lest what they leak adds up.
"""

import math
import os
import resource
import socket
from typing import BinaryIO

import orjson

from jobrunner.errors import PermanentError
from jobrunner.media import probe
from jobrunner.media.confinement import ACTING, REACHING_OUT, Confinement, see_nothing

CPU_S = 5
"""Processor time a file may cost; an ordinary one costs milliseconds."""

_FILES = 500
_LIMITS = {resource.RLIMIT_AS: 1 << 30, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
_NICE = 10  # the worker's event loop comes first


def serve(channel: socket.socket) -> None:
    """Until the other side hangs up, or `_FILES` were looked into."""
    for _ in range(_FILES):
        asked, files, _, _ = socket.recv_fds(channel, 1, 1)
        if not asked or not files:
            return
        _allow_time()
        with open(files[0], "rb") as file:  # noqa: PTH123  # a descriptor has no path
            channel.sendall(_verdict(file) + b"\n")


def _allow_time() -> None:
    """From now on. Past it the kernel sends SIGXCPU, of which this process dies."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime) + CPU_S, hard))


def _verdict(file: BinaryIO) -> bytes:
    try:
        return orjson.dumps(probe.examine(file))
    except PermanentError as error:
        return orjson.dumps({"refusal": str(error)})
    except Exception as error:  # noqa: BLE001  # a parser's own words for a file that it cannot make out
        return orjson.dumps({"refusal": f"The file is damaged: it cannot be read ({type(error).__name__})."})


def main() -> None:
    os.nice(_NICE)
    probe.warm_up()
    see_nothing()
    Confinement(_LIMITS, REACHING_OUT | ACTING)()
    with socket.socket(fileno=0) as asked_by:
        serve(asked_by)


if __name__ == "__main__":
    main()
