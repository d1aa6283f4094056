"""The official pickled files, unpickled only after their checksum matched, and then only what arrays need."""

from __future__ import annotations

import hashlib
import io
import pickle
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
    expected = (release.python.md5 or {}).get(name)
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != expected:
        raise DataError(
            "a pickled file that is not the official one; it was not opened", where=where,
            why=f"MD5 {found}, the release has {expected}; a pickle can run code",
            next_step=f"use the binary version: move it away and run `lipscope data fetch {release.name}`",
        )  # fmt: skip
    try:
        entry = ArrayUnpickler(data).load()
        pixels, labels = entry["data"], np.asarray(entry[release.labels_key], dtype=np.int64)
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXELS):
            raise ValueError(f"array {pixels.shape} {pixels.dtype} for {len(labels)} labels")
        if len(labels) == 0 or labels.min() < 0 or labels.max() >= len(release.classes):
            raise ValueError("labels missing or out of range")
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            "does not hold images and labels", where=where, why=str(error)[:200],
            next_step=f"use the binary version: `lipscope data fetch {release.name}`",
        ) from error  # fmt: skip
    return np.ascontiguousarray(pixels).reshape(-1, *IMAGE_SHAPE), labels


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that knows numpy arrays and nothing else that could be called.

    The official files were written by Python 2 and an old NumPy: the names below are the ones they use.
    """

    ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")

    def find_class(self, module: str, name: str) -> object:
        """Return the class or function, if it is one of those that rebuild an array.

        Raises:
            pickle.UnpicklingError: any other.
        """
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"refused to load {module}.{name}")
        if name == "_reconstruct":
            module = "numpy._core.multiarray"
        return super().find_class(module, name)
