"""The seam between operating systems: Linux for real, macOS and Windows by what they would be asked."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from lipscope import system
from lipscope.files.locks import BusyError, exclusive
from tests.waiting import GENEROUS


@pytest.fixture
def on_windows(monkeypatch):
    """Windows, with these modules and this kernel in its place."""
    locked: set[tuple[int, int]] = set()

    def locking(descriptor, how, count):
        about = os.fstat(descriptor)
        place = (about.st_ino, os.lseek(descriptor, 0, os.SEEK_CUR))
        assert (how, count) == (2, 1)
        if place in locked:
            raise OSError(errno.EACCES, "Permission denied")
        locked.add(place)

    monkeypatch.setattr(system.sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setitem(sys.modules, "fcntl", None)
    return locked


def test_windows_locks_a_byte_behind_the_text(on_windows, tmp_path):
    target = tmp_path / "model.certified.safetensors"
    with exclusive(target):
        ((_, place),) = on_windows
        assert place == system.BEYOND
        with pytest.raises(BusyError, match=f"process {os.getpid()}"), exclusive(target):
            pytest.fail("two at once")


def test_windows_passes_on_what_is_no_lock(on_windows, monkeypatch, tmp_path):
    def refuse(*_):
        raise OSError(errno.EBADF, "bad")

    monkeypatch.setattr(sys.modules["msvcrt"], "locking", refuse)
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    with pytest.raises(OSError, match="bad") as caught:
        system.lock(descriptor)
    os.close(descriptor)
    assert not isinstance(caught.value, BlockingIOError)


class Kernel:
    """What Windows answers of processes 1 (runs), 2 (has ended), 3 (was never there) and 4 (another user's)."""

    def OpenProcess(self, rights, inherit, number):  # noqa: N802
        assert (rights, inherit) == (system.QUERY, False)
        return {1: 10, 2: 20}.get(number, 0) if number < 3 else self._fail(87 if number == 3 else 5)

    def _fail(self, code):
        self.error = code
        return 0

    def GetLastError(self):  # noqa: N802
        return self.error

    def GetExitCodeProcess(self, handle, code):  # noqa: N802
        code._obj.value = {10: system.STILL_ACTIVE, 20: 0}[handle]

    def CloseHandle(self, handle):  # noqa: N802
        assert handle in (10, 20)


def test_windows_is_asked_for_a_process_and_never_signals_it(on_windows, monkeypatch):
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=Kernel()), raising=False)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("os.kill ends a process there"))
    assert [system.is_gone(number) for number in (1, 2, 3, 4)] == [False, True, True, False]
    assert system.began(1) == 0


def test_windows_leaves_files_to_the_profile(on_windows, tmp_path):
    (tmp_path / "key").touch(0o644)
    assert system.why_not_private((tmp_path / "key").stat()) == ""


def test_elsewhere_a_key_is_the_users_alone(tmp_path, monkeypatch):
    key = tmp_path / "key"
    key.touch(0o600)
    assert system.why_not_private(key.stat()) == ""
    key.chmod(0o640)
    assert system.why_not_private(key.stat()) == "is open to other users"
    monkeypatch.setattr(os, "getuid", lambda: key.stat().st_uid + 1)
    assert system.why_not_private(key.stat()) == "belongs to another user"


def test_windows_interrupts_with_ctrl_break_in_a_group_of_its_own(on_windows, monkeypatch):
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 512, raising=False)
    monkeypatch.setattr(signal, "CTRL_BREAK_EVENT", 1, raising=False)
    sent = []
    system.interrupt(SimpleNamespace(send_signal=sent.append))
    assert (system.new_group(), sent) == ({"creationflags": 512}, [1])


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_the_loop_is_told_of_the_end(monkeypatch, platform):
    monkeypatch.setattr(system.sys, "platform", platform)
    before = signal.getsignal(signal.SIGTERM)

    async def told():
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        system.on_ending(loop, event.set)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(event.wait(), GENEROUS)

    handlers = {number: signal.getsignal(number) for number in system.ENDINGS}
    try:
        asyncio.run(told())
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("said", "expected"),
    [("S    Mon Nov 30 01:02:03 2026\n", True), ("Z+   Mon Nov 30 01:02:03 2026\n", -1), ("", 0), ("S  nonsense", 0)],
)
def test_macos_is_asked_when_a_process_began(monkeypatch, said, expected):
    monkeypatch.setattr(system.sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", lambda command, **_: SimpleNamespace(stdout=said if "-p" in command else ""))
    at = int(time.mktime((2026, 11, 30, 1, 2, 3, 0, 0, -1)))
    assert system.began(7) == (at if expected is True else expected)


def test_the_processor_has_a_name_where_the_system_tells_it(monkeypatch):
    monkeypatch.setattr(system.sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", lambda command, **_: SimpleNamespace(stdout="Apple M4\n"))
    assert system.processor() == "Apple M4"
    monkeypatch.setattr(system.sys, "platform", "win32")
    assert system.processor() == ""


def test_nothing_else_asks_which_system_this_is():
    from pathlib import Path

    root = Path(system.__file__).parent
    asking = (
        *("import fcntl", "import msvcrt", '"/proc', 'f"/proc', "os.getuid", "os.kill(", "os.name"),
        *("SIGKILL", "SIGHUP", "SIGBREAK", "add_signal_handler"),
    )
    found = {
        f"{path.relative_to(root)}: {word}"
        for path in root.rglob("*.py")
        if path.name != "system.py"
        for word in asking
        if word in path.read_text(encoding="utf-8")
    }
    assert found == set()
