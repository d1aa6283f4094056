"""One writer at a time: two processes that certify the same model would each undo the other's work."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from lipscope.errors import LipscopeError

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""What file systems without locks answer; there the atomic rename alone keeps a file whole."""

LONGEST = 120
"""Characters of the owner's line that are repeated."""


class BusyError(LipscopeError):
    """Another process is writing the same file."""

    code = "busy"


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keep other processes from writing ``path`` while the block runs.

    The lock is the operating system's, on a file beside ``path`` that says who holds it; it ends with the process,
    so what a killed one left lying holds nobody.

    Raises:
        BusyError: another process holds it.
        LipscopeError: the folder cannot be written to.
    """
    place = lock_path(path)
    file = _locked(place, path)
    try:
        yield
    finally:
        # Still locked, so that whoever opened it meanwhile finds it gone.
        with suppress(OSError):
            place.unlink()
        file.close()


def lock_path(path: Path) -> Path:
    """The file whose lock stands for ``path``.

    >>> lock_path(Path("runs/a/model.certified.safetensors")).name
    '.model.certified.safetensors.lock'
    """
    return path.with_name(f".{path.name}.lock")


def _locked(place: Path, path: Path) -> TextIO:
    while True:
        try:
            file = place.open("a+", encoding="utf-8", errors="replace")
        except OSError as error:
            raise LipscopeError(
                "cannot be written", where=str(path), why=error.strerror or str(error),
                next_step="free space or choose another place",
            ) from error  # fmt: skip
        try:
            _lock(file)
            if _is_still(place, file):
                with suppress(OSError):
                    file.truncate(0)
                    # Past the buffer: what a full disk refuses, close() would try again.
                    os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}\n".encode("utf-8", "replace"))
                return file
        except BlockingIOError as error:
            file.seek(0)
            owner = file.readline(LONGEST).strip()
            file.close()
            raise BusyError(
                "another process is writing it", where=str(path), why=owner if owner.isprintable() else "",
                next_step="wait for it to end; what is kept so far stays as it is",
            ) from error  # fmt: skip
        except OSError as error:
            if error.errno in NO_LOCKS:
                return file
            file.close()
            raise
        file.close()


def _lock(file: TextIO) -> None:
    try:
        import fcntl
    except ImportError as error:
        raise OSError(errno.ENOSYS, "no file locks on this system") from error
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_still(place: Path, file: TextIO) -> bool:
    """Whether the opened file is the one of that name: the last owner removes it while others may wait to open."""
    try:
        return os.path.samestat(place.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
