"""A matrix of a safetensors file, read a part at a time so that a large one is never held."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.files.checkpoint import Header, TensorInfo, open_at
from lipscope.ground import check_ground
from lipscope.models.scales import Scales
from lipscope.models.tensors import DTYPES, next_numbers

PART, SHARE = 2**22, 32
"""Numbers that are held at a time: at most 32 MB in float64, and of smaller tensors one of so many parts."""

SMALLEST_PART = 2**18
"""Numbers below which a part is not cut."""


@dataclass(frozen=True)
class StoredMatrix:
    """A matrix in a file: the tensor with its axes after the first taken together.

    Args:
        header, info: where it is.
        scales: and their values, where it is multiplied by some.
    """

    header: Header
    info: TensorInfo
    scales: tuple[Scales, Tensor] | None = None

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
        check_ground()
        tall = rows >= columns
        step = self.part_numbers // min(rows, columns)
        with open_at(self.header, self.info) as file:
            begin = file.tell()
            for start in range(0, rows if tall else columns, step):
                count = min(step, (rows if tall else columns) - start)
                if tall:
                    yield self._scaled(next_numbers(file, count * columns, dtype).reshape(count, columns), (start, 0))
                    continue
                part = torch.empty(rows, count, dtype=torch.float64)
                for row, line in enumerate(part):
                    file.seek(begin + (row * columns + start) * dtype.itemsize)
                    line.copy_(next_numbers(file, count, dtype))
                yield self._scaled(part, (0, start))

    def _scaled(self, part: Tensor, first: tuple[int, int]) -> Tensor:
        if self.scales is None:
            return part
        scales, values = self.scales
        return scales.applied(part, values, first)
