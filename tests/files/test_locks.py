"""One writer at a time, whoever dies."""

from __future__ import annotations

import errno
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lipscope.errors import LipscopeError
from lipscope.files.locks import BusyError, exclusive, lock_path
from tests.full_disk import full_disk
from tests.waiting import GENEROUS

HOLD = """
import sys, time
from pathlib import Path
from lipscope.files.locks import exclusive
from tests.waiting import GENEROUS
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.certified.safetensors"


def holder(target: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock until its stdin ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_refused_and_told_who_is_first(target: Path) -> None:
    with holder(target) as first:
        with pytest.raises(BusyError) as caught, exclusive(target):
            pytest.fail("two at once")
        assert f"process {first.pid} on {platform.node()}" in str(caught.value)
        assert str(target) in str(caught.value)
        assert caught.value.exit_code == 1
        first.communicate("")
    with exclusive(target):
        assert lock_path(target).exists()
    assert list(target.parent.iterdir()) == []


def test_what_a_killed_process_left_holds_nobody(target: Path) -> None:
    with holder(target) as first:
        first.send_signal(signal.SIGKILL)
        assert first.wait(GENEROUS) == -signal.SIGKILL
    assert lock_path(target).exists()
    with exclusive(target):
        assert lock_path(target).read_text() == f"process {os.getpid()} on {platform.node()}\n"
    assert not lock_path(target).exists()


def test_it_ends_with_the_block_whatever_happens(target: Path) -> None:
    with pytest.raises(KeyError), exclusive(target):
        raise KeyError
    with exclusive(target), exclusive(target.with_name("other")), pytest.raises(BusyError), exclusive(target):
        pytest.fail("twice")


def test_a_file_that_was_removed_while_it_was_opened_is_no_lock(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last owner unlinks between our opening and our locking: our lock must be on the new file."""
    import fcntl

    real, opened = fcntl.flock, []

    def flock(file: object, how: int) -> None:
        if not opened:
            lock_path(target).unlink()
        opened.append(file)
        real(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", flock)
    with exclusive(target):
        assert len(opened) == 2
        with pytest.raises(BusyError), exclusive(target):
            pytest.fail("twice")


def test_a_file_system_without_locks_is_written_all_the_same(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(file: object, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with exclusive(target):
        pass
    assert list(target.parent.iterdir()) == []


def test_a_disk_too_full_for_the_owners_name(target: Path) -> None:
    with full_disk(0):
        with exclusive(target), pytest.raises(BusyError), exclusive(target):
            pytest.fail("twice")
        assert not lock_path(target).exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LipscopeError, match="cannot be written") as caught, exclusive(tmp_path / "no" / "x"):
        pytest.fail("held")
    assert not isinstance(caught.value, BusyError)


@pytest.mark.parametrize("kind", ["link", "dangling link", "hard link", "notes", "pipe", "folder"])
def test_what_lies_under_the_locks_name_is_neither_followed_nor_touched(kind: str, target: Path) -> None:
    """A clone can bring a link named like the lock: emptied, it would be any file of the user."""
    place, precious = lock_path(target), target.with_name("precious")
    precious.write_text("precious")
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "notes":
        place.write_text("process of thought\n")
    elif kind == "hard link":
        place.hardlink_to(precious)
    else:
        place.symlink_to("precious" if kind == "link" else "nothing")
    before = place.lstat()
    with pytest.raises(LipscopeError, match="cannot be locked") as caught, exclusive(target):
        pytest.fail("held")
    assert not isinstance(caught.value, BusyError)
    assert str(place) in caught.value.next_step
    assert os.path.samestat(place.lstat(), before)
    assert precious.read_text() == "precious"
    assert kind != "notes" or place.read_text() == "process of thought\n"
    assert not target.with_name("nothing").exists()
