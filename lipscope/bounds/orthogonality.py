"""Proved lower bounds on the singular values of a circular convolution: how far from orthogonal it can be at most.

For S with at most as many rows as columns, every singular value s of S obeys |s^2 - 1| <= ||S S* - I||.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lipscope.bounds.frequencies import symbols
from lipscope.bounds.matrix import spectral_norm_bound
from lipscope.bounds.rounding import UNIT_ROUNDOFF, down, gamma, outward


def circular_floor(kernel: Tensor, height: int, width: int) -> float:
    """A lower bound on every singular value, over the smaller side, of the circular convolution on height x width.

    Args:
        kernel: (out, in, h, w), float32.

    Returns:
        0.0 where the kernel is too far from orthogonal to tell.

    >>> 0.9999999999 < circular_floor(torch.tensor([[[[1.0]], [[0.0]]]]), 4, 4) <= 1.0
    True
    """
    kernel = kernel.detach().to(torch.float64)
    wide = kernel if kernel.shape[0] <= kernel.shape[1] else kernel.transpose(0, 1)
    single = wide.shape[2:] == (1, 1)
    matrices = wide[:, :, 0, 0].unsqueeze(0) if single else symbols(wide, height, width).flatten(0, 1)
    if not bool(torch.isfinite(torch.view_as_real(matrices) if matrices.is_complex() else matrices).all()):
        return 0.0
    rows, columns = matrices.shape[-2:]
    # As for the squares of norms: a complex operation is a few real ones.
    effort = 4 if matrices.is_complex() else 1
    frobenius = outward(float(matrices.abs().square().sum(dim=(-2, -1)).max()) * (1 + gamma(4 * rows * columns)))
    deviation = matrices @ matrices.mH - torch.eye(rows, dtype=matrices.dtype)
    rounding = effort * gamma(effort * columns) * frobenius + 2 * UNIT_ROUNDOFF * (frobenius + 1)
    off = outward(spectral_norm_bound(deviation) + rounding)
    if not off < 1:
        return 0.0
    total = 0.0 if single else float(torch.linalg.vector_norm(wide.abs().sum(dim=(2, 3))))
    transform = outward(total * 4 * gamma(2 * wide.shape[2] * wide.shape[3] + 16))
    return max(0.0, down(down(math.sqrt(down(1 - off)), 2) - transform, 2))
