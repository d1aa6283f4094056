"""One writer at a time: two processes that certify the same model would each undo the other's work.

The lock is the operating system's, on a file beside the one that is written. It is not ``filelock``'s, which leaves
its file behind, does not say who holds it, and in its older versions empties whatever lies under that name.
"""

from __future__ import annotations

import errno
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lipscope.errors import LipscopeError
from lipscope.files.opening import CLOSED_TO_CHILDREN, NO_FOLLOW, IrregularError, require_regular
from lipscope.system import lock

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""What file systems without locks answer; there the atomic rename alone keeps a file whole."""

LONGEST = 120
"""Characters of the owner's line that are repeated."""

_OURS = re.compile(rb"(process [0-9]+ on [^\n]*\n?)?")
"""All that a lock of lipscope holds."""


class BusyError(LipscopeError):
    """Another process is writing the same file."""

    code = "busy"


@contextmanager
def exclusive(path: Path, busy: str = "another process is writing it") -> Iterator[None]:
    """Keep other processes from writing ``path`` while the block runs.

    The lock is on a file beside ``path`` that says who holds it; it ends with the process, so what a killed one left
    lying holds nobody. A file of that name that is none of lipscope's is left as it is.

    Args:
        path: what is written.
        busy: what the error says that the other process does.

    Raises:
        BusyError: another process holds it.
        LipscopeError: the folder cannot be written to, or something else lies under the name of the lock.
    """
    place = lock_path(path)
    descriptor = _locked(place, path, busy)
    try:
        yield
    finally:
        # Still locked, so that whoever opened it meanwhile finds it gone.
        with suppress(OSError):
            place.unlink()
        os.close(descriptor)


def lock_path(path: Path) -> Path:
    """The file whose lock stands for ``path``.

    >>> lock_path(Path("runs/a/model.certified.safetensors")).name
    '.model.certified.safetensors.lock'
    """
    return path.with_name(f".{path.name}.lock")


def is_still(place: Path, descriptor: int) -> bool:
    """Whether an open file is the one of that name: its last owner removes it while others may wait to open it."""
    try:
        return os.path.samestat(place.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _locked(place: Path, path: Path, busy: str) -> int:
    while True:
        descriptor = _opened(place, path)
        try:
            lock(descriptor)
            if is_still(place, descriptor):
                with suppress(OSError):
                    os.ftruncate(descriptor, 0)
                    os.lseek(descriptor, 0, os.SEEK_SET)
                    os.write(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode("utf-8", "replace"))
                return descriptor
        except BlockingIOError as error:
            owner = _start_of(descriptor)[:LONGEST].decode("utf-8", "replace").strip()
            os.close(descriptor)
            raise BusyError(
                busy, where=str(path), why=owner if owner.isprintable() else "",
                next_step="wait for it to end; what is kept so far stays as it is",
            ) from error  # fmt: skip
        except OSError as error:
            if error.errno in NO_LOCKS:
                return descriptor
            os.close(descriptor)
            raise
        os.close(descriptor)


def _opened(place: Path, path: Path) -> int:
    """The lock file, which is not followed where it is a link and not touched where it is none of ours."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | CLOSED_TO_CHILDREN | NO_FOLLOW
    try:
        with suppress(FileNotFoundError):
            require_regular(place.stat(follow_symlinks=False))
        descriptor = os.open(place, flags, 0o666)
        try:
            about = os.fstat(descriptor)
            require_regular(about)
            if about.st_nlink > 1 or not _OURS.fullmatch(_start_of(descriptor)):
                raise FileExistsError(errno.EEXIST, "it is no lock of lipscope")
        except OSError:
            os.close(descriptor)
            raise
    except (IrregularError, FileExistsError) as error:
        raise LipscopeError(
            "cannot be locked", where=str(path), why=f"{place.name} is in the way: {error.strerror}",
            next_step=f"remove {place}",
        ) from error  # fmt: skip
    except OSError as error:
        raise LipscopeError(
            "cannot be written", where=str(path), why=error,
            next_step="free space or choose another place",
        ) from error  # fmt: skip
    return descriptor


def _start_of(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, 4096)
