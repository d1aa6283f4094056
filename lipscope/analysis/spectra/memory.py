"""How a large matrix is held, so that its analysis takes less memory than twice the tensor in its file.

Counted are the Gram matrix of the smaller side with m rows, what is read of the file at a time, the panels that a
factorisation works on, and the vectors of Lanczos. By what fits, the first of:

- the whole Gram matrix in float64, and the copy that its eigenvalues are computed in: 16 m^2 bytes;
- its lower triangle in float64: 4 m^2 bytes, as many as a square float32 tensor itself;
- its lower triangle in float32: 2 m^2 bytes, as many as a square bfloat16 tensor itself;
- lower triangles of blocks of the smaller side, one after another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from lipscope.analysis.reading import StoredMatrix
from lipscope.analysis.spectra.singular_values import DENSE_LIMIT, STEPS_OF_GRAM
from lipscope.bounds.triangle import PANEL
from lipscope.models.tensors import DTYPES

FLOOR = 2**28
"""Bytes that an analysis may always take: less than the program takes before it reads anything."""

MARGIN = 0.9
"""The share of the limit that is planned with."""

MOST_ROWS = 2**14
"""Rows of the largest Gram matrix: the time grows with their cube."""

VECTORS = 2**25
"""Bytes for the vectors of a quadrature, and for what the libraries load and the allocator keeps."""


@dataclass(frozen=True)
class Plan:
    """How the Gram matrix is held.

    Args:
        blocks: into how many the smaller side is cut.
        dense: whether the whole is held, and decomposed.
        dtype: of the triangle.
        panels: how many panels are summed up in one reading of the file.
    """

    blocks: int
    dense: bool
    dtype: torch.dtype
    panels: int


def plan_for(matrix: StoredMatrix) -> Plan:
    """The most exact way for which there is room."""
    side = min(matrix.shape)
    size = DTYPES[matrix.info.dtype].itemsize
    limit = max(FLOOR, 2 * matrix.info.size * size)
    # A slab as bytes, as numbers, and once more on the way; panels in three stages.
    room = MARGIN * limit - matrix.part_numbers * (size + 16) - 3 * 8 * PANEL * side
    if side <= DENSE_LIMIT and 16 * side**2 <= room:
        return Plan(1, True, torch.float64, _panels(side))
    room -= VECTORS + 8 * STEPS_OF_GRAM * side
    for dtype, each in ((torch.float64, 8), (torch.float32, 4)):
        left = room - each * side * (side + PANEL) / 2
        accumulated = 8 * PANEL * side if dtype == torch.float32 else 0
        if side <= MOST_ROWS and left >= accumulated:
            panels = int(left // accumulated) if accumulated else _panels(side)
            return Plan(1, False, dtype, min(panels, _panels(side)))
    # 4 r (r + 128) bytes for a block of r rows; one panel is always possible.
    fits = math.isqrt(max(0, int(room)) // 4 + (PANEL // 2) ** 2) - PANEL // 2
    return Plan(-(-side // min(MOST_ROWS, max(PANEL, fits))), False, torch.float64, _panels(side))


def _panels(side: int) -> int:
    return -(-side // PANEL)
