"""Room on the disk, and what to say when there is none."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from lipscope.errors import DataError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def cannot_write(path: Path, error: OSError) -> DataError:
    """The error of a file or folder that cannot be written."""
    if error.errno in NO_ROOM:
        return DataError(
            "the disk is full", where=str(path), why=error,
            next_step="free space and run the same command again, or choose another place with --data-dir",
        )  # fmt: skip
    return DataError(
        "cannot be written", where=str(path), why=error,
        next_step="choose another place with --data-dir",
    )  # fmt: skip


def check_room(folder: Path, needed: int) -> None:
    """Make sure that ``needed`` bytes fit on the disk of a folder, which need not exist yet.

    Raises:
        DataError: they do not.
    """
    existing = next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path("/"))
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise DataError(
            "too little space on the disk", where=str(folder),
            why=f"{needed / 1e6:,.0f} MB needed, {free / 1e6:,.0f} MB free",
            next_step="free space or choose another place with --data-dir",
        )  # fmt: skip
