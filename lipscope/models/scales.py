"""Weights of eight bits with scales beside them: the layer computes with their product, which float64 holds exactly.

A scale is for the whole weight, for each output, or for each block of a matrix. ``weight_scale_inv`` is multiplied by
too: it undoes the scaling with which the weight was stored. The sides of blocks are powers of two, where one fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lipscope.files.checkpoint import TensorInfo

EIGHT_BITS = ("F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
SCALES = ("F32", "F16", "BF16", "F8_E8M0")
"""Their products with four significant bits need at most 28."""

LONGEST_BLOCK = 2**16


@dataclass(frozen=True)
class Scales:
    """What the numbers of a weight are multiplied by.

    Args:
        name: of the tensor.
        block: rows and columns of the weight, as the matrix (outputs, rest), that each of them is for.
        across: how many there are from left to right.
    """

    name: str
    block: tuple[int, int]
    across: int

    def applied(self, part: Tensor, values: Tensor, first: tuple[int, int] = (0, 0)) -> Tensor:
        """A part of the weight times its scales; overwritten.

        Args:
            part: (rows, columns) float64, or with more axes after the first.
            values: of the scales, float64.
            first: the row and column of the matrix at which the part begins.
        """
        rows, columns = (
            (torch.arange(n) + k) // b for n, k, b in zip(part.flatten(1).shape, first, self.block, strict=True)
        )
        return part.mul_(values.reshape(-1, self.across)[rows][:, columns].reshape(part.shape))


def scales_of(tensors: Mapping[str, TensorInfo], info: TensorInfo) -> Scales | str | None:
    """The scales of a weight; why they cannot be told; None where there are none beside it."""
    if info.dtype not in EIGHT_BITS or len(info.shape) < 2 or 0 in info.shape:
        return None
    names = [f"{info.name}_scale", f"{info.name}_scale_inv"]
    if info.name.rpartition(".")[2] == "weight":
        names.append(info.name.removesuffix("weight") + "scale_weight")
    found = [tensors[name] for name in names if name in tensors]
    if not found:
        return None
    if len(found) > 1 or f"{info.name}_zero_point" in tensors:
        return "several tensors beside it say how it is scaled"
    (scale,) = found
    if scale.dtype not in SCALES:
        return f"its scales are {scale.dtype[:20]}, which is not read"
    block = _blocks(info.shape, scale.shape)
    if block is None:
        return "the shape of its scales does not tell which numbers each of them is for"
    return Scales(scale.name, block, -(-math.prod(info.shape[1:]) // block[1]))


def _blocks(weight: tuple[int, ...], scales: tuple[int, ...]) -> tuple[int, int] | None:
    rows, columns = weight[0], math.prod(weight[1:])
    if math.prod(scales) == 1:
        return rows, columns
    if math.prod(scales) == rows and scales[0] == rows:
        return 1, columns
    if len(weight) != 2 or len(scales) != 2:
        return None
    down, across = _side(rows, scales[0]), _side(columns, scales[1])
    return None if down is None or across is None else (down, across)


def _side(length: int, count: int) -> int | None:
    """How long each of so many blocks is along an axis, the last of which may be cut; None where that cannot be told.

    >>> _side(576, 5), _side(192, 2), _side(7168, 56), _side(5, 5)
    (128, None, 128, 1)
    """
    if count in (1, length):
        return length // count
    powers = [2**k for k in range(1, LONGEST_BLOCK.bit_length()) if count and -(-length // 2**k) == count]
    even = count and length % count == 0
    return powers[0] if len(powers) == 1 and (not even or length // count == powers[0]) else None
