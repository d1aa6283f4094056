"""The singular values of a circular convolution, exactly: those of its symbol, frequency by frequency.

With circular padding on n x m and stride 1 the operator is unitarily equivalent to the block-diagonal matrix of
K^(w) = sum_ab K_ab exp(-i (a w_1 + b w_2)), w on the n x m grid (Sedghi, Gupta & Long, ICLR 2019). A stride that
divides the image makes channels of its phases (:func:`lipscope.bounds.axes.polyphase`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from lipscope.bounds.frequencies import multiplicities, symbols

AT_ONCE = 2**22
"""Entries of the symbols that are decomposed at a time."""

DUST = 2.0**-200
"""Numbers that are this much smaller than the largest move no singular value in float64; LAPACK's complex
decomposition can turn subnormal ones into NaN."""


def circular_singular_values(kernel: Tensor, height: int, width: int) -> Tensor:
    """All min(out, in) * height * width singular values, float64, largest first.

    Args:
        kernel: (out, in, h, w); it may be larger than the image, its taps then meet. Where it is centred does not
            matter.
        height, width: of the image.

    >>> [round(value, 4) for value in circular_singular_values(torch.ones(1, 1, 1, 2), 1, 4).tolist()]
    [2.0, 1.4142, 1.4142, 0.0]
    """
    counts = multiplicities(width)
    rows = symbols(kernel.to(torch.float64), height, width)
    chunk = max(1, AT_ONCE // rows[0].numel())
    half = torch.cat([torch.linalg.svdvals(_without_dust(part)) for part in rows.split(chunk)])
    every = torch.repeat_interleave(half, torch.tensor(counts), dim=1)
    return every.flatten().sort(descending=True).values


def _without_dust(symbol: Tensor) -> Tensor:
    """Real and imaginary parts that are negligible beside the largest become zeros."""
    parts = torch.view_as_real(symbol)
    size = parts.abs()
    return torch.view_as_complex(torch.where(size < DUST * size.max(), 0.0, parts))
