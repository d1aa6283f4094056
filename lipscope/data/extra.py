"""Images that a training may learn from besides its own: generated ones, left on the disk and mapped into memory.

The file is what ``numpy.savez`` writes, with ``image`` (N, 32, 32, 3) uint8 and ``label`` (N,), as generated CIFAR
images are published. Its sizes and types are read from its headers and held against it before anything is allocated.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lipscope.errors import DataError
from lipscope.files.opening import open_regular

LOCAL_HEADER = 30
"""Bytes of a zip file's header before a member's name, which ends with the lengths of that name and of what follows."""


UNREADABLE = (
    OSError, ValueError, TypeError, LookupError, EOFError, RecursionError, MemoryError, zipfile.BadZipFile,
    NotImplementedError,
)  # fmt: skip
"""What readers of archives and of arrays' headers raise for what is neither."""


@dataclass(frozen=True, eq=False)
class Extra:
    """Images of a file.

    Args:
        images: (N, H, W, C) uint8, on the disk.
        labels: (N,) int64.
        sha256: of the file.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    sha256: str

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """(n, C, H, W) uint8 and (n,): the images with these numbers."""
        return np.ascontiguousarray(self.images[chosen].transpose(0, 3, 1, 2)), self.labels[chosen]


def open_extra(path: Path, shape: tuple[int, ...], classes: int) -> Extra:
    """The images of a file.

    Args:
        path: an ``.npz`` file that is not compressed.
        shape: (C, H, W) of the images that they are mixed with.
        classes: how many there are.

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    channels, *sides = shape
    try:
        with open_regular(path) as file:
            about, start = _member(file, "image")
            if about.dtype != np.uint8 or about.shape[1:] != (*sides, channels):
                raise ValueError(f"image is {about}, not uint8 (N, {', '.join(map(str, (*sides, channels)))})")
            told, labels_start = _member(file, "label")
            if told.dtype.kind not in "iu" or told.shape != about.shape[:1] or not len(about):
                raise ValueError(f"label is {told} beside {about.shape[:1]} images")
            labels = np.memmap(file, told.dtype, "r", labels_start, told.shape)
            if not 0 <= labels.min() <= labels.max() < classes:
                raise ValueError(f"a label outside 0..{classes - 1}")
            images: NDArray[np.uint8] = np.memmap(file, np.uint8, "r", start, about.shape)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except UNREADABLE as error:
        raise DataError(
            "no images to learn from", where=str(path), why=str(error).strip("'\"")[:200] or type(error).__name__,
            next_step="write image (N, 32, 32, 3) uint8 and label (N,) by numpy.savez, which does not compress",
        ) from error  # fmt: skip
    return Extra(images, labels.astype(np.int64), digest)


@dataclass(frozen=True)
class _Array:
    """What the header of an array says."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


def _member(file: BinaryIO, name: str) -> tuple[_Array, int]:
    """The type and shape of an array in the archive, and where its numbers begin in the file.

    Raises:
        ValueError, KeyError, EOFError, zipfile.BadZipFile: it is not there, compressed, or not what it says.
    """
    with zipfile.ZipFile(file) as archive:
        entry = archive.getinfo(f"{name}.npy")
        size = file.seek(0, 2)
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
        raise ValueError(f"{name} is compressed, so it cannot be mapped into memory")
    file.seek(entry.header_offset)
    header = file.read(LOCAL_HEADER)
    begin = entry.header_offset + LOCAL_HEADER + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    file.seek(begin)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in read:
        raise ValueError(f"{name} is of an unknown version of the format")
    shape, fortran, dtype = read[version](file)
    data = _Array(dtype, shape)
    start = file.tell()
    if fortran or dtype.hasobject or not shape:
        raise ValueError(f"{name} is {data}{', column by column' if fortran else ''}")
    if start - begin + math.prod(shape) * dtype.itemsize != entry.file_size or begin + entry.file_size > size:
        raise ValueError(f"{name} is {data}, but has {entry.file_size:,} bytes")
    return data, start
