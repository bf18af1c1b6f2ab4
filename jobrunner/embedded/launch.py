"""How a server is run as our child: tied to our life, without root, its words kept in a log, awaited until ready."""

import asyncio
import contextlib
import ctypes
import logging
import os
import pwd
import re
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError

from jobrunner.errors import ConfigError
from jobrunner.events import emit

_START_S = 60.0  # after a crash Postgres replays its log first, and Valkey reads its file
_STOP_S = 10.0
_POLL_S = 0.01
_LOG_BYTES = 10_000_000
_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2  # linux/prctl.h
_CAP_DAC_OVERRIDE, _CAP_VERSION, _CLONE_NEWUSER = 1, 0x20080522, 0x10000000  # linux/capability.h, sched.h
_SERVER_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}  # no PGPORT, no locale that is not installed


@dataclass(frozen=True, slots=True)
class Launch:
    """How one server is run. `end` is the signal that stops it cleanly, from us or from the kernel at our death."""

    name: str
    directory: Path
    log: Path
    lock: int
    end: signal.Signals
    run_as: int | None = None  # uid for a server that refuses root

    async def spawn(self, *command: str | Path, stdin: int = asyncio.subprocess.DEVNULL) -> asyncio.subprocess.Process:
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
            if log.tell() > _LOG_BYTES:
                log.truncate(0)
            try:
                return await asyncio.create_subprocess_exec(
                    *command,
                    stdin=stdin,
                    stdout=log,
                    stderr=log,
                    cwd=self.directory,
                    env=_SERVER_ENVIRONMENT,
                    pass_fds=[self.lock],
                    start_new_session=True,  # Ctrl-C is for us: the servers stop last
                    preexec_fn=_BeforeExec(self.end, run_as=self.run_as),
                )
            except (OSError, SubprocessError) as error:
                raise self.failed(f"cannot be started ({error})") from None

    async def run(self, *command: str | Path, stdin: bytes = b"") -> None:
        """One helper command to its end."""
        process = await self.spawn(*command, stdin=asyncio.subprocess.PIPE)
        try:
            await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise self.failed(f"could not be set up ({Path(command[0]).name} ended with {process.returncode})")

    @asynccontextmanager
    async def serve(self, *command: str | Path, ready: Callable[[int], Awaitable[bool]]) -> AsyncIterator[None]:
        process = await self.spawn(*command)
        exited = asyncio.create_task(process.wait(), name=f"embedded {self.name}")
        try:
            begun = time.monotonic()
            while not await ready(process.pid):
                await asyncio.wait([exited], timeout=_POLL_S)
                if exited.done():
                    raise self.failed(f"ended with {exited.result()} while it started")
                if time.monotonic() - begun > _START_S:
                    raise self.failed(f"was not ready within {_START_S:.0f} s")
            exited.add_done_callback(self.report)
            yield
        finally:
            exited.remove_done_callback(self.report)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self.end)
            await asyncio.wait([exited], timeout=_STOP_S)
            if not exited.done():
                process.kill()
                await exited

    def report(self, exited: asyncio.Task[int]) -> None:
        if not exited.cancelled():
            emit("embedded.ended", logging.ERROR, server=self.name, exit_code=exited.result(), log=str(self.log))

    def failed(self, what: str) -> ConfigError:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
        return ConfigError(f"The embedded {self.name} {what}. The end of {self.log}:\n" + "\n".join(lines))


class Tied:
    """Runs in a child between fork and exec: the kernel sends it `end` when the thread that started it has died."""

    def __init__(self, end: signal.Signals) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: loading takes locks
        self._parent = os.getpid()
        self._end = end

    def __call__(self) -> None:
        if sys.platform == "linux":
            self._call("prctl", _PR_SET_PDEATHSIG, int(self._end), 0, 0, 0)
            if os.getppid() != self._parent:
                os._exit(1)  # the parent died before the kernel knew whom to tell

    def _call(self, name: str, *arguments: int | bytes) -> None:
        if getattr(self._libc, name)(*arguments) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"{name}: {os.strerror(code)}")


class _BeforeExec(Tied):
    """Also takes root from it."""

    def __init__(self, end: signal.Signals, *, run_as: int | None) -> None:
        super().__init__(end)
        self._run_as = run_as
        self._nobody = pwd.getpwnam("nobody")

    def __call__(self) -> None:
        try:
            if self._run_as is not None:
                self._leave_root(self._run_as)
            super().__call__()  # last: a change of uid unties it
        except BaseException as error:
            os.write(2, f"jobrunner: {error}\n".encode())  # the log is all that the parent gets to see
            raise

    def _leave_root(self, uid: int) -> None:
        """Become `uid`, keeping the one capability that lets it into directories of root and of who called sudo.

        Where that is not given to root (a container without capabilities, uids that are not mapped), or was not when
        the cluster was made, a user namespace in which root has another number does.
        """
        if uid != 0:
            with contextlib.suppress(OSError):
                self._become(uid)
                return
        try:
            self._enter_namespace()
        except OSError as error:
            raise PermissionError(
                f"Postgres refuses root, which can neither change its uid nor enter a user namespace here ({error}). "
                "Run jobrunner as a normal user."
            ) from None

    def _enter_namespace(self) -> None:
        uid, gid = os.getuid(), os.getgid()
        self._call("unshare", _CLONE_NEWUSER)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{self._nobody.pw_uid} {uid} 1"),
            ("gid_map", f"{self._nobody.pw_gid} {gid} 1"),
        ):
            Path("/proc/self", name).write_text(text, encoding="ascii")

    def _become(self, uid: int) -> None:
        if not self._has_dac_override():
            raise PermissionError
        self._call("prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setgroups([])
        os.setresgid(self._nobody.pw_gid, self._nobody.pw_gid, self._nobody.pw_gid)
        os.setresuid(uid, uid, uid)
        mask = 1 << _CAP_DAC_OVERRIDE
        header, sets = struct.pack("=Ii", _CAP_VERSION, 0), struct.pack("=6I", mask, mask, mask, 0, 0, 0)
        self._call("capset", header, sets)
        self._call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)

    def _has_dac_override(self) -> bool:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
        return effective is not None and bool(int(effective[1], 16) >> _CAP_DAC_OVERRIDE & 1)
