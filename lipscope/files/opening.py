"""Opening what lies under a name: regular files only, so that nothing waits for a pipe or wakes a device."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from io import BufferedReader, BufferedWriter
from pathlib import Path

KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
CLOSED_TO_CHILDREN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class IrregularError(OSError):
    """Something that is no regular file, where one is needed.

    Args:
        kind: what it is, e.g. ``"a pipe"``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(errno.EINVAL, f"it is {kind}, not a file")


def require_regular(about: os.stat_result) -> None:
    """Refuse what is no regular file.

    Raises:
        IrregularError: it is something else.
    """
    if not stat.S_ISREG(about.st_mode):
        raise IrregularError(next((kind for is_one, kind in KINDS if is_one(about.st_mode)), "something else"))


def open_regular(path: Path, *, follow: bool = True) -> BufferedReader:
    """Open a regular file for reading; with anything else it ends at once.

    Args:
        path: the file.
        follow: whether the name may be a symbolic link to a file, as downloaded models often are.

    Raises:
        IrregularError: a folder, a pipe, a socket, a device, a link that is not to be followed.
        OSError: as :func:`open`.
    """
    # Looked at before it is opened, because to open a device can do something, and again after.
    require_regular(path.stat(follow_symlinks=follow))
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | CLOSED_TO_CHILDREN | (0 if follow else NO_FOLLOW)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        require_regular(os.fstat(file.fileno()))
    except OSError:
        file.close()
        raise
    return file


def open_to_append(path: Path) -> BufferedWriter:
    """Open a regular file, or a new one, for writing at its end; no symbolic link is followed.

    Raises:
        IrregularError: something else lies there.
        OSError: as :func:`open`.
    """
    with suppress(FileNotFoundError):
        require_regular(path.stat(follow_symlinks=False))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0) | CLOSED_TO_CHILDREN | NO_FOLLOW
    file = os.fdopen(os.open(path, flags, 0o666), "ab")
    try:
        require_regular(os.fstat(file.fileno()))
    except OSError:
        file.close()
        raise
    return file


def read_regular(path: Path, *, follow: bool = True) -> bytes:
    """All bytes of a regular file.

    Raises:
        IrregularError, OSError: as :func:`open_regular`.
    """
    with open_regular(path, follow=follow) as file:
        return file.read()
