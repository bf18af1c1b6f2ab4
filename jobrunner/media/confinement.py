"""What keeps a process that reads a stranger's file from doing anything else.

Limits everywhere; on Linux, where the kernel has them, also seccomp (no sockets, no looking into other processes) and
Landlock (no files). None of it needs a privilege or a container's leave. Where the kernel lacks one of the two,
the rest holds.
Sources: seccomp(2), landlock(7), and the kernel's linux/seccomp.h, linux/filter.h, linux/audit.h, linux/landlock.h.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from collections.abc import Collection, Mapping

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_AT_NUMBER, _AT_ARCH = 0, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_X32 = 0x40000000  # x86-64 has every call a second time, from this number on

_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_EVERY_ACCESS = (1 << 13) - 1  # of Landlock's first version, which all later ones know

_CALLS: Mapping[str, Mapping[str, int]] = {
    "x86_64": {
        "AUDIT_ARCH": 0xC000003E,
        "execve": 59,
        "execveat": 322,
        "io_uring_setup": 425,
        "kill": 62,
        "pidfd_getfd": 438,
        "pidfd_send_signal": 424,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "ptrace": 101,
        "socket": 41,
        "tgkill": 234,
        "tkill": 200,
    },
    "aarch64": {
        "AUDIT_ARCH": 0xC00000B7,
        "execve": 221,
        "execveat": 281,
        "io_uring_setup": 425,
        "kill": 129,
        "pidfd_getfd": 438,
        "pidfd_send_signal": 424,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "ptrace": 117,
        "socket": 198,
        "tgkill": 131,
        "tkill": 130,
    },
}
"""The numbers of the calls that are refused, by machine."""

REACHING_OUT = frozenset({"socket", "ptrace", "process_vm_readv", "process_vm_writev", "io_uring_setup", "pidfd_getfd"})
"""Calls that lead to the network or into another process; io_uring would open sockets behind the filter's back."""

ACTING = frozenset({"execve", "execveat", "kill", "tkill", "tgkill", "pidfd_send_signal"})
"""Calls that start programs and end processes."""


class Confinement:
    """Confines the process that calls it, for good. May run between fork and exec: it takes no lock and loads nothing.

    `limits` as setrlimit(2) has them; `refused` are names of calls that fail with EPERM from then on.
    """

    def __init__(self, limits: Mapping[int, int], refused: Collection[str]) -> None:
        self._limits = [(which, _at_most(which, wanted)) for which, wanted in limits.items()]
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        rules = _rules(refused)
        self._rules = ctypes.create_string_buffer(rules, len(rules))
        self._filter = struct.pack("HxxxxxxP", len(rules) // 8, ctypes.addressof(self._rules))

    def __call__(self) -> None:
        for which, limit in self._limits:
            resource.setrlimit(which, (limit, limit))
        if self._libc is not None and self._rules:
            self._libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            self._libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, self._filter, 0, 0)


def see_nothing() -> None:
    """From now on this process can open no file. Those that it has open, and is handed, it can read."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    handled = struct.pack("=Q", _EVERY_ACCESS)
    rules = libc.syscall(_LANDLOCK_CREATE_RULESET, handled, len(handled), 0)
    if rules >= 0:
        libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0)
        os.close(rules)


def _at_most(which: int, wanted: int) -> int:
    """Nobody but root may raise a hard limit."""
    hard = resource.getrlimit(which)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _rules(refused: Collection[str]) -> bytes:
    """The filter's program, 8 bytes a step; none for a machine whose numbers we do not know."""
    if sys.platform != "linux" or platform.machine() not in _CALLS:
        return b""
    numbers = _CALLS[platform.machine()]
    calls = sorted(numbers[name] for name in refused)
    refuse = len(calls) + 1  # steps from the first comparison of a number to the refusal
    steps = [
        (_LOAD, 0, 0, _AT_ARCH),
        (_IF_EQUAL, 0, refuse + 2, numbers["AUDIT_ARCH"]),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_IF_AT_LEAST, refuse, 0, _X32),
        *((_IF_EQUAL, refuse - n - 1, 0, call) for n, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
