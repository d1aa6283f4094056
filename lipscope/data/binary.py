"""The official binary files: fixed records of one byte a label and 3x32x32 bytes of pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipscope.data.dataset import IMAGE_SHAPE, Split
from lipscope.data.releases import Release
from lipscope.errors import DataError
from lipscope.files.opening import read_regular

Records = tuple[NDArray[np.uint8], NDArray[np.int64]]


def parse_records(data: bytes, release: Release, where: str) -> Records:
    """Images (n, 3, 32, 32) uint8 and class labels (n,) int64 of one file's bytes.

    Raises:
        DataError: no bytes, not a whole number of records, or a label that is none.
    """
    if not data:
        raise DataError("the file is empty", where=where, next_step=_again(release))
    if len(data) % release.record_size:
        raise DataError(
            "the file is truncated or of another format", where=where,
            why=f"{len(data)} bytes are not a multiple of the record of {release.record_size}",
            next_step=_again(release),
        )  # fmt: skip
    records = np.frombuffer(data, np.uint8).reshape(-1, release.record_size)
    for position, limit in enumerate(release.label_limits):
        wrong = np.flatnonzero(records[:, position] >= limit)
        if len(wrong):
            raise DataError(
                "a label is out of range", where=where,
                why=f"record {wrong[0]} says {records[wrong[0], position]}, labels go from 0 to {limit - 1}",
                next_step=_again(release),
            )  # fmt: skip
    count = len(release.label_limits)
    images = records[:, count:].reshape(-1, *IMAGE_SHAPE).copy()
    return images, records[:, count - 1].astype(np.int64)


def read_folder(folder: Path, release: Release, split: Split) -> Records:
    """All records of a split from an official binary folder, in the order of its files.

    Raises:
        DataError: a file is missing, unreadable or malformed.
    """
    parts = [
        parse_records(read_file(folder / name, release), release, str(folder / name))
        for name in release.binary.files(split)
    ]
    return joined(parts)


def joined(parts: list[Records]) -> Records:
    """The records of several files as one."""
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def count_records(folder: Path, release: Release, split: Split) -> int:
    """How many records the files of a split hold, from their sizes alone.

    Raises:
        DataError: a file is missing, empty, or not a whole number of records.
    """
    count = 0
    for name in release.binary.files(split):
        path = folder / name
        try:
            size = path.stat().st_size
        except OSError as error:
            raise unreadable(path, error, release) from error
        if not size or size % release.record_size:
            raise DataError(
                "the file is truncated or of another format", where=str(path),
                why=f"{size} bytes, the record has {release.record_size}", next_step=_again(release),
            )  # fmt: skip
        count += size // release.record_size
    return count


def class_names(folder: Path, release: Release) -> tuple[str, ...]:
    """The class names that the folder's text file lists; the official ones where it has none.

    Raises:
        DataError: the file lists another number of names, or is not text.
    """
    path = folder / release.binary.names
    if not path.exists():
        return release.classes
    try:
        names = tuple(read_file(path, release).decode().split())
    except UnicodeDecodeError as error:
        raise DataError("not a text file", where=str(path), next_step=_again(release)) from error
    if len(names) != len(release.classes):
        raise DataError(
            "another number of class names", where=str(path),
            why=f"{len(names)} names for {len(release.classes)} classes", next_step=_again(release),
        )  # fmt: skip
    return names


def read_file(path: Path, release: Release) -> bytes:
    """The bytes of one file of a release.

    Raises:
        DataError: missing or unreadable.
    """
    try:
        return read_regular(path)
    except OSError as error:
        raise unreadable(path, error, release) from error


def unreadable(path: Path, error: OSError, release: Release) -> DataError:
    """What to tell of a file that is missing or cannot be read."""
    if isinstance(error, FileNotFoundError):
        return DataError(
            "a file of the data set is missing", where=str(path),
            why=f"{release.name} has no images without it", next_step=_again(release),
        )  # fmt: skip
    return DataError("cannot be read", where=str(path), why=error)


def _again(release: Release) -> str:
    return f"move the folder away and run `lipscope data fetch {release.name}`, or copy it again"
