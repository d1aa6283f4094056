"""Watching files by their stamps: cheap enough to ask every second, also over a network."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

Stamp = tuple[int, int, int, int]
"""Time of modification in nanoseconds, size, inode, and the time of its last change, which no program sets back."""

SECONDS = 1.0
"""Between two looks."""


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a file; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns


def watch(
    path: Path, known: Stamp | None, changed: Callable[[Stamp | None], None], ended: threading.Event, seconds: float
) -> None:
    """Call ``changed`` with each new stamp of the file until ``ended`` is set.

    A stamp counts once it has held for two looks: a file in the middle of being copied is not news yet.
    """
    seen = known
    while not ended.wait(seconds):
        stamp = stamp_of(path)
        if stamp == seen != known:
            known = stamp
            changed(stamp)
        seen = stamp
