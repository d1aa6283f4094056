"""Tensors of a safetensors file as numbers: whole, or a part at a time so that a large one is never held.

Every dtype read here is a set of real numbers that float64 contains, so nothing is rounded. Other dtypes (integers,
which may be 4-bit weights packed into bytes; scales of powers of two; complex numbers) are named and left alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lipscope.errors import CheckpointError
from lipscope.files.checkpoint import Header, TensorInfo, read_header
from lipscope.ground import check_ground

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""The stored formats whose numbers are read, each exactly."""

PART, SHARE = 2**22, 32
"""Numbers that are held at a time: at most 32 MB in float64, and of smaller tensors one of so many parts."""

SMALLEST_PART = 2**18
"""Numbers below which a part is not cut."""


def read_tensor(header: Header, info: TensorInfo) -> Tensor:
    """One tensor, in float64.

    Raises:
        CheckpointError: the file has changed, or its header holds what safetensors refuses.
    """
    _opened(header, info)
    path = header.file_of(info.name)
    try:
        # Read, not mapped: a file that is cut off while it is mapped kills the process.
        with path.open("rb", buffering=0) as file:
            begin = 8 + int.from_bytes(file.read(8), "little") + info.offsets[0]
            return _numbers(file, begin, 0, info.size, DTYPES[info.dtype]).reshape(info.shape)
    except OSError as error:
        raise CheckpointError(
            "the file changed or went while it was analysed", where=str(path), next_step="run it again"
        ) from error


def _opened(header: Header, info: TensorInfo) -> safe_open:
    check_ground()
    path = header.file_of(info.name)
    try:
        file = safe_open(path, framework="pt")
        stored = file.get_slice(info.name)  # type: ignore[no-untyped-call]
        same = tuple(stored.get_shape()) == info.shape and stored.get_dtype() == info.dtype
    except (SafetensorError, OSError) as error:
        if not _is_still(header):
            raise CheckpointError(
                "the file changed or went while it was analysed", where=str(path), next_step="run it again"
            ) from error
        raise CheckpointError("not a safetensors file", where=str(path), why=str(error)[:200]) from error
    if not same:
        raise CheckpointError("the file changed while it was analysed", where=str(path), next_step="run it again")
    return file


def _is_still(header: Header) -> bool:
    """Whether the file, or each shard, is what it was when the analysis began."""
    try:
        return read_header(header.path) == header
    except CheckpointError:
        return False


@dataclass(frozen=True)
class StoredMatrix:
    """A matrix in a file: the tensor with its axes after the first taken together.

    Args:
        header, info: where it is.
    """

    header: Header
    info: TensorInfo

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.info.shape[0], math.prod(self.info.shape[1:])

    @property
    def part_numbers(self) -> int:
        """How many numbers are held at a time: at least one line of the smaller side."""
        return max(min(self.shape), min(PART, max(SMALLEST_PART, self.info.size // SHARE)))

    def parts(self) -> Iterator[Tensor]:
        """Slabs of the matrix across its longer side, float64: (part, columns) of a tall one, (rows, part) of a wide.

        The bytes are read from the file, not mapped: what has been read is not kept.

        Raises:
            CheckpointError: the file has changed.
        """
        rows, columns = self.shape
        dtype = DTYPES[self.info.dtype]
        _opened(self.header, self.info)
        path = self.header.file_of(self.info.name)
        tall = rows >= columns
        step = self.part_numbers // min(rows, columns)
        try:
            with path.open("rb", buffering=0) as file:
                begin = 8 + int.from_bytes(file.read(8), "little") + self.info.offsets[0]
                for start in range(0, rows if tall else columns, step):
                    if tall:
                        count = min(step, rows - start)
                        yield _numbers(file, begin, start * columns, count * columns, dtype).reshape(count, columns)
                    else:
                        count = min(step, columns - start)
                        part = torch.empty(rows, count, dtype=torch.float64)
                        for row, line in enumerate(part):
                            line.copy_(_numbers(file, begin, row * columns + start, count, dtype))
                        yield part
        except OSError as error:
            raise CheckpointError(
                "the file changed or went while it was analysed", where=str(path), why=error.strerror or str(error),
                next_step="run it again",
            ) from error  # fmt: skip


def _numbers(file: FileIO, begin: int, first: int, count: int, dtype: torch.dtype) -> Tensor:
    """(count,) float64: numbers ``first`` to ``first + count`` of the tensor that begins at this byte."""
    size = dtype.itemsize
    buffer = bytearray(count * size)
    file.seek(begin + first * size)
    view = memoryview(buffer)
    while view:
        got = file.readinto(view)
        if not got:
            raise CheckpointError(
                "the file changed while it was analysed", where=str(file.name), next_step="run it again"
            )
        view = view[got:]
    return torch.frombuffer(buffer, dtype=dtype).to(torch.float64)
