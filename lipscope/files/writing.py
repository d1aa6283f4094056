"""The one way in which lipscope writes a file: whole or not at all, never through a symbolic link."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lipscope.errors import LipscopeError
from lipscope.files.locks import NO_LOCKS, is_still
from lipscope.files.opening import CLOSED_TO_CHILDREN, NO_FOLLOW, IrregularError, require_regular
from lipscope.system import lock

NAMED = 50
"""Characters of a file's name that the name of its temporary file begins with; all of a long one would not fit."""

ENDING = ".partial"


@contextmanager
def atomic_path(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place on success and vanishes on failure.

    Every call has a name of its own, so that processes and threads that write the same path leave one whole file.
    Temporary files that killed processes left behind are removed.

    Args:
        path: the file; not a symbolic link, which could lead anywhere.
        durable: wait until the disk has it.

    Raises:
        LipscopeError: the folder cannot be written to, something other than a file is there, or the disk is full.
    """
    with _temporary(path) as temporary:
        yield temporary
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)


def require_writable(path: Path) -> None:
    """Find out before a computation whether its result can be written; nothing is left behind.

    Raises:
        LipscopeError: as :func:`atomic_path`.
    """
    with _temporary(path):
        pass


def require_place(path: Path) -> None:
    """Find out before a computation whether what it finds can be kept in a file, whose folder is made if need be.

    Raises:
        LipscopeError: it cannot; the next step names the options of the commands that keep something.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        require_writable(path)
    except (LipscopeError, OSError) as error:
        raise LipscopeError(
            "the results cannot be kept there", where=str(path),
            why=error if isinstance(error, OSError) else error.why or str(error),
            next_step="--keep DIR keeps them elsewhere, --no-keep not at all",
        ) from error  # fmt: skip


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A new file beside ``path``, locked for as long as it is there."""
    descriptor = temporary = None
    try:
        with suppress(FileNotFoundError):
            require_regular(path.stat(follow_symlinks=False))
        _sweep(path)
        descriptor, temporary = _begun(path)
        yield temporary
    except IrregularError as error:
        raise LipscopeError(
            "is not a file that can be replaced", where=str(path), why=error,
            next_step="remove it or choose another place",
        ) from error  # fmt: skip
    except OSError as error:
        raise LipscopeError(
            "cannot be written", where=str(path), why=error,
            next_step="free space or choose another place",
        ) from error  # fmt: skip
    finally:
        if temporary is not None:
            # Still locked: nobody else takes it for a leftover.
            with suppress(OSError):
                temporary.unlink()
        if descriptor is not None:
            os.close(descriptor)


def _begun(path: Path) -> tuple[int | None, Path]:
    """A new temporary file, and the lock on it that says that its writer lives; None where there are no locks."""
    while True:
        temporary = path.with_name(f".{path.name[:NAMED]}.{secrets.token_hex(8)}{ENDING}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | CLOSED_TO_CHILDREN | NO_FOLLOW
        descriptor = os.open(temporary, flags, 0o666)
        try:
            lock(descriptor)
            if is_still(temporary, descriptor):
                return descriptor, temporary
        except BlockingIOError:
            pass  # another process sweeps it up: it was not locked yet
        except OSError as error:
            os.close(descriptor)
            if error.errno not in NO_LOCKS:
                raise
            return None, temporary
        os.close(descriptor)


def _sweep(path: Path) -> None:
    """Remove the temporary files of writers that are no more: nobody holds their locks."""
    pattern = re.compile(re.escape(f".{path.name[:NAMED]}.") + "[0-9a-f]{16}" + re.escape(ENDING))
    with os.scandir(path.parent) as entries:
        found = [Path(entry.path) for entry in entries if pattern.fullmatch(entry.name)]
    for leftover in found:
        with suppress(OSError):
            descriptor = os.open(leftover, os.O_RDWR | getattr(os, "O_NONBLOCK", 0) | CLOSED_TO_CHILDREN | NO_FOLLOW)
            try:
                require_regular(os.fstat(descriptor))
                lock(descriptor)
                leftover.unlink()
            finally:
                os.close(descriptor)
