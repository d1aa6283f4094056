"""The official pickled files, unpickled only after their checksum matched, and then only what arrays need."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lipscope.data.binary import Records, joined, read_file
from lipscope.data.dataset import IMAGE_SHAPE, Split
from lipscope.data.releases import Release
from lipscope.errors import DataError

PIXELS = 3072


def read_pickled_folder(folder: Path, release: Release, split: Split) -> Records:
    """All records of a split from an official python folder, each file's checksum verified first.

    Raises:
        DataError: a file is missing, unreadable, or not the official one.
    """
    parts = []
    for name in release.python.files(split):
        path = folder / name
        parts.append(parse_pickled(read_file(path, release), name, release, str(path)))
    return joined(parts)


def parse_pickled(data: bytes, name: str, release: Release, where: str) -> Records:
    """Images and labels of the pickled file ``name``, given its bytes.

    Raises:
        DataError: the bytes are not those of the official release (nothing has been unpickled then), or hold
            something other than images and labels.
    """
    check_md5(data, name, release, where)
    try:
        entry = ArrayUnpickler(data).load()
        pixels, labels = entry["data"], np.asarray(entry[release.labels_key], dtype=np.int64)
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXELS):
            raise ValueError(f"array {pixels.shape} {pixels.dtype} for {len(labels)} labels")
        if len(labels) == 0 or labels.min() < 0 or labels.max() >= len(release.classes):
            raise ValueError("labels missing or out of range")
    except (pickle.UnpicklingError, EOFError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            "does not hold images and labels", where=where, why=str(error)[:200],
            next_step=f"use the binary version: `lipscope data fetch {release.name}`",
        ) from error  # fmt: skip
    return np.ascontiguousarray(pixels).reshape(-1, *IMAGE_SHAPE), labels


def check_md5(data: bytes, name: str, release: Release, where: str) -> None:
    """Make sure that these are the bytes of the official pickled file ``name``.

    Raises:
        DataError: they are not.
    """
    expected = release.python.md5[name]
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != expected:
        raise DataError(
            "a pickled file that is not the official one; it was not opened", where=where,
            why=f"MD5 {found}, the release has {expected}; a pickle can run code",
            next_step=f"use the binary version: move it away and run `lipscope data fetch {release.name}`",
        )  # fmt: skip


CALLABLE: Mapping[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
"""What a pickled array calls to rebuild itself, by the names of old and new NumPy."""


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler of numpy arrays, numbers, strings, lists and dicts; it can call nothing else.

    Byte strings of Python 2, which wrote the official files, become text as Latin-1.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")

    def find_class(self, module: str, name: str) -> object:
        """Return what the pickle names, if it is part of an array.

        Raises:
            pickle.UnpicklingError: it names anything else.
        """
        if (module, name) not in CALLABLE:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return CALLABLE[module, name]
