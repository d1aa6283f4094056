"""What differs between operating systems, asked in this one place: locks, processes, signals, owners of files.

Linux is where it is tested. macOS and Windows are written to the documentation of Python and of the systems, and their
branches are tested by replacing ``sys.platform`` here and what they call; nobody has run them there.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

START_FIELD = 21
"""In ``/proc/PID/stat``, counted from 0: when a process began."""

BEYOND = 2**30
"""The byte that Windows locks: no other process can read what is locked, and the text before it is to be read."""

STILL_ACTIVE = 259
"""What Windows answers for the exit code of a process that runs (``GetExitCodeProcess``)."""

NO_PROCESS = 87
"""What Windows answers when no process has a number (``ERROR_INVALID_PARAMETER``)."""

QUERY = 0x1000
"""To ask Windows about a process, and no more (``PROCESS_QUERY_LIMITED_INFORMATION``)."""

ENDINGS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
"""What ends a program from outside: ``kill``, a scheduler, a terminal that is closed, Ctrl-Break of Windows."""

STOPPED = (130, -signal.SIGINT, -int(getattr(signal, "SIGKILL", 9)), 0xC000013A)
"""Exit codes of a process that was stopped before its end; the last one is what Windows says of Ctrl-C."""


def lock(descriptor: int) -> None:
    """Lock an open file until it is closed.

    Raises:
        BlockingIOError: another process holds it.
        OSError: its file system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        where = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                raise BlockingIOError(error.errno, error.strerror) from error
            raise
        finally:
            os.lseek(descriptor, where, os.SEEK_SET)
        return
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_gone(number: int) -> bool:
    """Whether no process of this machine has the number; false where another user's is not told of."""
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        handle = kernel.OpenProcess(QUERY, False, number)
        if not handle:
            return bool(kernel.GetLastError() == NO_PROCESS)
        code = ctypes.c_ulong()
        kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        kernel.CloseHandle(handle)
        return code.value != STILL_ACTIVE
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # it is somebody else's, and there
    return False


def began(number: int) -> int:
    """When a process began, on a clock of the system's own; -1 of one that has ended, 0 where it is not known."""
    try:
        if sys.platform == "linux":
            text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
            # The name, in brackets, may hold blanks and brackets.
            fields = text.rpartition(")")[2].split()
            # What has ended and waits to be asked for its exit code is gone too.
            return -1 if fields[0] == "Z" else int(fields[START_FIELD - 2])
        if sys.platform == "darwin":
            told = subprocess.run(
                ["/bin/ps", "-o", "stat=,lstart=", "-p", str(number)],
                check=True, capture_output=True, text=True, timeout=10, env={"LC_ALL": "C"},
            )  # fmt: skip
            state, start = told.stdout.split(maxsplit=1)
            return -1 if state.startswith("Z") else int(time.mktime(time.strptime(start.strip())))
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        pass
    return 0


def why_not_private(about: os.stat_result) -> str:
    """What lets others read or write a file, as its numbers say; empty where nothing does.

    On Windows the numbers say nothing: there it is the user's own profile that keeps others out.
    """
    if sys.platform == "win32":
        return ""
    if about.st_uid != os.getuid():
        return "belongs to another user"
    return "is open to other users" if stat.S_IMODE(about.st_mode) & 0o077 else ""


def on_ending(loop: AbstractEventLoop, call: Callable[[], object]) -> None:
    """Have the loop call it when the program is told to end from outside; what is ignored stays ignored."""
    for number in ENDINGS:
        if signal.getsignal(number) is signal.SIG_IGN:
            continue
        if sys.platform == "win32":  # whose loops know no signals
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(call))
        else:
            loop.add_signal_handler(number, call)


def new_group() -> dict[str, Any]:
    """For ``Popen``: what a process needs so that :func:`interrupt` reaches it and not this one."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {}


def interrupt(process: subprocess.Popen[Any]) -> None:
    """What Ctrl-C in its own terminal would do."""
    with suppress(ProcessLookupError):
        if sys.platform == "win32":
            process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            process.send_signal(signal.SIGINT)


def processor() -> str:
    """The name of the processor; empty where the system does not tell it."""
    with suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "linux":
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
        if sys.platform == "darwin":
            asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
    return ""


def yield_to_others(by: int) -> None:
    """Add to the niceness of the calling thread and those that it starts; only on Linux has a thread its own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(os.getpriority(os.PRIO_PROCESS, thread) + by, 19))
